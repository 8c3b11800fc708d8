"""The demo's pieces of work.

Each runs in a process of its own: it reads and writes files, and tells how far it is.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch.utils.data import Dataset
from transformers import (
    CLIPImageProcessorPil,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    ResNetForImageClassification,
    set_seed,
)
from transformers.utils import logging

from vkood.data import (
    COLOURS,
    SHAPES,
    EasyVqaKnowledge,
    EasyVqaQuestions,
    FactTable,
    JointVqa,
    VqaCollator,
    VqaDataset,
    joint_answers,
    load_easy_vqa,
    normalise_images,
)
from vkood.models import VkoodForVisualQuestionAnswering
from vkood.models.fit_watch import ComponentMaps, FitWatch
from vkood.models.loading import load_encoder, load_model, load_tokenizer
from vkood.pipelines import VkoodProcessor
from vkood.recipes.easy_vqa import Arm, EasyVqaRun
from vkood.tasks import FACT_ENCODER, FACTS_FILE, Evaluation, evaluate_vqa
from vkood.train import fit

GALLERY_SIZE, GALLERY_FLOOD = 12, 6

Tell = Callable[[int], None]
"""Called with the amount of work done so far."""


@runtime_checkable
class Post(Protocol):
    """Where a job's progress goes: a queue between processes."""

    def put(self, item: tuple[str, int], /) -> None:
        """Send (job, work done so far)."""
        ...


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """The folder in which jobs leave their files for each other."""

    folder: Path

    @property
    def facts(self) -> Path:
        """The fact vectors."""
        return self.folder / FACTS_FILE

    @property
    def vectors(self) -> Path:
        """What the fact encoder keeps.

        It lies here and not where other runs would find it: a sentence's vector differs in its last bits with
        the batch it was encoded in, and a run with the same seed is to give the same numbers.
        """
        return self.folder / "vectors"

    @property
    def tokenizer(self) -> Path:
        """The questions' tokenizer."""
        return self.folder / "tokenizer"

    @property
    def tower(self) -> Path:
        """The pretrained image tower."""
        return self.folder / "tower"

    def model(self, arm: Arm) -> Path:
        """An arm's trained model."""
        return self.folder / arm

    def collator(self, arm: Arm, *, with_matches: bool = False) -> VqaCollator:
        """Rows to batches, as the arm is to see them."""
        return VqaCollator(
            load_tokenizer(self.tokenizer),
            FactTable.load(self.facts, encoder=FACT_ENCODER),
            {answer: index for index, answer in enumerate(joint_answers())},
            with_matches=with_matches and arm == "filtered",
            use_facts=arm != "no_facts",
        )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a job reports.

    Attributes:
        seconds: How long it took.
        process: Its process.
        peak_rss_mb: The most memory that its process has held so far.
        found: What it found.
    """

    seconds: float
    process: int
    peak_rss_mb: float
    found: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """What an arm makes of the report's examples; the lists of facts stay empty, and `maps` None, without a gate."""

    predicted: list[int]
    gates: list[list[float]]
    scores: list[list[float]]
    maps: ComponentMaps | None


def run_job(work: Callable[..., Any], name: str, post: Post, *arguments: Any) -> Outcome:
    """Run `work(*arguments, tell)` on one thread of this process.

    One thread, since two jobs run side by side, and small operations gain nothing from more.
    """
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    started = time.monotonic()
    found = work(*arguments, lambda done: post.put((name, done)))
    return Outcome(
        seconds=time.monotonic() - started,
        process=os.getpid(),
        peak_rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        found=found,
    )


def new_processor(tokenizer: PreTrainedTokenizerFast) -> VkoodProcessor:
    """From pictures and texts to what `VqaCollator` makes of them: 64 x 64 pixels from -1 to 1."""
    pictures = CLIPImageProcessorPil(
        size={"height": 64, "width": 64}, do_center_crop=False, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    return VkoodProcessor(pictures, tokenizer)


def train_tokenizer(pretrained: PreTrainedTokenizerFast, run: EasyVqaRun) -> PreTrainedTokenizerFast:
    """A small vocabulary for the questions, learnt from those of training."""
    questions = sorted(
        {*load_easy_vqa("train").questions, *(row.question for row in EasyVqaKnowledge("train", run.seed))}
    )
    return pretrained.train_new_from_iterator(questions, vocab_size=400)


class _Pictures(Dataset[dict[str, Any]]):
    """Pictures with colour and shape as one label, for the tower."""

    def __init__(self) -> None:
        self._data = load_easy_vqa("train")
        self._rows: list[int] = self._data.described.tolist()

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self._rows[index]
        colour, shape = self._data.colours[row], self._data.shapes[row]
        assert colour is not None
        assert shape is not None
        label = COLOURS.index(colour) * len(SHAPES) + SHAPES.index(shape)
        return {"pixel_values": normalise_images(self._data.images[row]), "labels": label}


def _collate_pictures(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    return {
        "pixel_values": torch.stack([row["pixel_values"] for row in rows]),
        "labels": torch.tensor([row["labels"] for row in rows]),
    }


_Model = TypeVar("_Model", bound=PreTrainedModel)


def _channels_last(model: _Model) -> _Model:
    """The same model; its convolutions are faster on CPUs."""
    return model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - torch's stub lacks it


def new_tower(run: EasyVqaRun) -> ResNetForImageClassification:
    """An untrained image tower with a head for colour and shape."""
    set_seed(run.tower.seed)
    return _channels_last(ResNetForImageClassification(run.tower_config(len(COLOURS) * len(SHAPES))))


def pretrain_tower(run: EasyVqaRun, workshop: Workshop, tell: Tell) -> list[tuple[int, float]]:
    """Teach the image tower to name colour and shape, and save it. Returns the learning curve."""
    classifier = new_tower(run)
    reports = fit(
        classifier,
        _Pictures(),
        _collate_pictures,
        run.tower,
        on_report=lambda report: tell(report.step),
    )
    classifier.resnet.save_pretrained(workshop.tower)
    return [(report.step, report.loss) for report in reports]


def new_model(run: EasyVqaRun, workshop: Workshop, arm: Arm, **gate: Any) -> VkoodForVisualQuestionAnswering:
    """An arm's model before training: the pretrained tower, and new weights elsewhere."""
    set_seed(run.joint.seed)
    tokenizer = load_tokenizer(workshop.tokenizer)
    model = VkoodForVisualQuestionAnswering(run.model_config(arm, tokenizer, joint_answers(), **gate))
    model.vkood.image_tower.encoder = load_encoder(workshop.tower)
    return _channels_last(model)


def training_rows(run: EasyVqaRun, arm: Arm = "filtered") -> JointVqa:
    """The pictures, with questions of both jobs, that every arm trains on.

    The arm without facts has the same questions; facts of plain questions are not even drawn, which takes time.
    """
    return JointVqa(
        "train",
        run.seed,
        plain=run.plain,
        knowledge=run.knowledge,
        plain_facts_share=0.0 if arm == "no_facts" else run.plain_facts_share,
        size=run.num_pictures,
    )


def train_arm(run: EasyVqaRun, workshop: Workshop, arm: Arm, tell: Tell) -> list[tuple[int, float]]:
    """Train an arm's model on both jobs, and save it. Returns the learning curve."""
    model, rows = new_model(run, workshop, arm), training_rows(run, arm)
    reports = fit(model, rows, workshop.collator(arm), run.joint, on_report=lambda report: tell(report.step))
    model.save_pretrained(workshop.model(arm))
    return [(report.step, report.loss) for report in reports]


def test_arm(run: EasyVqaRun, workshop: Workshop, arm: Arm, tell: Tell) -> dict[str, Any]:
    """Test an arm's model on both jobs, under every flood, and on the report's gallery."""
    model: Any = _channels_last(load_model(workshop.model(arm)))
    collate = workshop.collator(arm, with_matches=True)
    done = 0

    def score(dataset: Dataset[Any]) -> Evaluation:
        def count(rows: int) -> None:
            nonlocal done
            done += rows
            tell(done)

        return evaluate_vqa(model, dataset, collate, batch_size=128, on_rows=count)

    def knowledge(irrelevant: int = 0, contradicting: int = 0) -> Evaluation:
        return score(VqaDataset(EasyVqaKnowledge("test", run.seed, irrelevant, contradicting)))

    if arm == "no_facts":  # no flood reaches it, so one test stands for all
        unflooded = knowledge()
        irrelevant = dict.fromkeys(map(str, run.irrelevant), unflooded)
        contradicting = dict.fromkeys(map(str, run.contradicting), unflooded)
    else:
        irrelevant = {str(number): knowledge(irrelevant=number) for number in run.irrelevant}
        contradicting = {str(number): knowledge(contradicting=number) for number in run.contradicting}
    plain = score(VqaDataset(EasyVqaQuestions("test", run.seed, facts_share=0.0)))
    unflooded = irrelevant[str(run.irrelevant[0])]
    return {
        "easy_vqa": plain.accuracy,
        "knowledge": {
            "irrelevant": {number: evaluation.accuracy for number, evaluation in irrelevant.items()},
            "contradicting": {number: evaluation.accuracy for number, evaluation in contradicting.items()},
        },
        "num_questions": {"easy_vqa": len(plain.labels), "knowledge": len(unflooded.labels)},
        "filter": _filter({"irrelevant": irrelevant, "contradicting": contradicting}),
        "gallery": _gallery(model, gallery_rows(run), collate),
    }


def _filter(floods: dict[str, dict[str, Evaluation]]) -> dict[str, dict[str, dict[str, float]]] | None:
    """How well the filter tells facts that match from all others, under every flood; None without a filter."""
    if not all(evaluation.fact_scores.numel() for flood in floods.values() for evaluation in flood.values()):
        return None
    return {
        kind: {
            number: {"auroc": evaluation.filter_auroc, "fpr95": evaluation.filter_fpr95}
            for number, evaluation in flood.items()
        }
        for kind, flood in floods.items()
    }


def test_rows(run: EasyVqaRun, arm: Arm) -> int:
    """How many rows `test_arm` answers."""
    floods = 1 if arm == "no_facts" else len(run.irrelevant) + len(run.contradicting)
    return floods * len(EasyVqaKnowledge("test", run.seed)) + len(EasyVqaQuestions("test", run.seed))


def gallery_rows(run: EasyVqaRun) -> EasyVqaKnowledge:
    """The examples that the report shows."""
    return EasyVqaKnowledge("test", run.seed, irrelevant=GALLERY_FLOOD, size=GALLERY_SIZE)


@torch.inference_mode()
def _gallery(
    model: VkoodForVisualQuestionAnswering, questions: EasyVqaKnowledge, collate: VqaCollator
) -> Gallery:
    rows = VqaDataset(questions)
    batch = collate([rows[index] for index in range(len(rows))])
    mask = batch["fact_mask"]
    names = ("pixel_values", "input_ids", "attention_mask", "fact_features", "fact_mask")
    with FitWatch(model.vkood) as watch:
        output = model(**{name: batch[name] for name in names})

    def per_row(values: torch.Tensor | None) -> list[list[float]]:
        return [] if values is None else [row[kept].tolist() for row, kept in zip(values, mask, strict=True)]

    return Gallery(
        predicted=output.logits.argmax(-1).tolist(),
        gates=per_row(output.fact_gate),
        scores=per_row(output.fact_score),
        maps=watch.maps(),
    )
