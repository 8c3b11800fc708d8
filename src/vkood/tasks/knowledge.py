"""Both jobs on easy-VQA as tests: its own questions, and knowledge questions under floods of facts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.data import Subset
from transformers import PreTrainedTokenizerBase

from vkood.data import EasyVqaKnowledge, EasyVqaQuestions, FactTable, VqaCollator, VqaDataset
from vkood.models import SentenceEncoder, VkoodForVisualQuestionAnswering
from vkood.pipelines.processor import FACT_ENCODER, sentence_encoder_folder
from vkood.tasks.saved import answer_ids
from vkood.tasks.vqa import Evaluation, evaluate_vqa

FACTS_FILE = "facts.safetensors"
"""The name of the fact table beside a saved model."""

_FACTS_AT_ONCE = 12_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterScores:
    """How well a gate's scores tell facts that match the picture from all others.

    Attributes:
        auroc: How often a fact that does not match scores above one that does; 0.5 is chance.
        fpr95: Share of the facts that do not match which pass where 95 % of those that match do.
    """

    auroc: float
    fpr95: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VqaScores:
    """How a model did on questions.

    Attributes:
        num_questions: How many questions there were.
        num_facts: How many facts came along, over all questions.
        accuracy: Share of the questions answered rightly.
        filter: How well the gate sorted the facts; None without a gate, or if all facts are of one kind.
        seconds: How long it took.
    """

    num_questions: int
    num_facts: int
    accuracy: float
    filter: FilterScores | None
    seconds: float


def evaluate_easy_vqa_knowledge(
    model: VkoodForVisualQuestionAnswering,
    tokenizer: PreTrainedTokenizerBase,
    questions: EasyVqaKnowledge,
    fact_table: FactTable,
    *,
    use_facts: bool = True,
    limit: int | None = None,
    on_rows: Callable[[int], None] | None = None,
) -> VqaScores:
    """Answer knowledge questions.

    Args:
        model: A model that knows the entities as answers.
        tokenizer: Its tokenizer.
        questions: The questions, with the facts that come along.
        fact_table: The vectors of all these facts, from `encode_facts` or else.
        use_facts: Whether the model sees the facts.
        limit: Only the first so many questions; all by default.
        on_rows: Called with the number of questions answered since it was last called.

    Raises:
        ValueError: If the vectors have another width than the model takes, or `fact_table` lacks a fact.
    """
    width = fact_table.features.shape[1]
    if width != model.config.fact_dim:
        raise ValueError(
            f"`fact_table` must have vectors of width {model.config.fact_dim}, as the model; got {width}."
        )
    dataset = VqaDataset(questions)
    collate = VqaCollator(
        tokenizer, fact_table, answer_ids(model.config), with_matches=True, use_facts=use_facts
    )
    return _evaluate(model, dataset, collate, limit, on_rows)


def evaluate_easy_vqa(
    model: VkoodForVisualQuestionAnswering,
    tokenizer: PreTrainedTokenizerBase,
    *,
    limit: int | None = None,
    on_rows: Callable[[int], None] | None = None,
) -> VqaScores:
    """Answer easy-VQA's own test questions, without facts.

    Args:
        model: A model that knows easy-VQA's answers.
        tokenizer: Its tokenizer.
        limit: Only the first so many questions; all 9,673 by default.
        on_rows: Called with the number of questions answered since it was last called.
    """
    dataset = VqaDataset(EasyVqaQuestions("test", 0, facts_share=0.0))
    no_facts = FactTable([], torch.empty(0, model.config.fact_dim))
    collate = VqaCollator(tokenizer, no_facts, answer_ids(model.config))
    return _evaluate(model, dataset, collate, limit, on_rows)


def fact_encoder(on_sentences: Callable[[int], None] | None = None) -> SentenceEncoder:
    """Load the encoder of facts, whose name is `FACT_ENCODER`, from the package that ships it.

    Args:
        on_sentences: Called with the number of sentences done so far.

    Raises:
        ImportError: If the package is not installed.
    """
    return SentenceEncoder(sentence_encoder_folder(FACT_ENCODER), on_sentences=on_sentences)


def encode_facts(
    sentences: Iterable[str],
    *,
    saved: Path | None = None,
    on_sentences: Callable[[int], None] | None = None,
) -> FactTable:
    """Return a table that has the vectors of all these facts, encoding only what is not saved already.

    Args:
        sentences: At least one fact; repeats are encoded once.
        saved: A table of earlier vectors, which need not exist. One that cannot be used is told of in the
            log, and done without.
        on_sentences: Called with the number of these sentences that are ready so far.
    """
    wanted = list(dict.fromkeys(sentences))
    table = _saved_table(saved)
    num_known = 0 if table is None else sum(sentence in table for sentence in wanted)

    def tell(encoded: int) -> None:
        if on_sentences is not None:
            on_sentences(num_known + encoded)

    tell(0)
    if table is None:
        return FactTable.build(wanted, fact_encoder(tell))
    if num_known < len(wanted):
        table.extend(wanted, fact_encoder(tell))
    return table


def facts_of(questions: EasyVqaKnowledge, *, limit: int | None = None) -> tuple[str, ...]:
    """Return the facts that do come with these questions, each once: often fewer than might.

    Args:
        questions: The questions.
        limit: Of the first so many questions; of all by default.
    """
    num_questions = len(questions) if limit is None else min(limit, len(questions))
    return tuple(dict.fromkeys(fact for index in range(num_questions) for fact in questions[index].facts))


def _saved_table(path: Path | None) -> FactTable | None:
    if path is None or not path.exists():
        return None
    try:
        return FactTable.load(path, encoder=FACT_ENCODER)
    except ValueError as error:
        _log.warning("Encoding all facts anew: %s", error)
        return None


def _evaluate(
    model: VkoodForVisualQuestionAnswering,
    dataset: VqaDataset,
    collate: VqaCollator,
    limit: int | None,
    on_rows: Callable[[int], None] | None,
) -> VqaScores:
    started = time.perf_counter()
    num_questions = len(dataset) if limit is None else min(limit, len(dataset))
    if num_questions < 1:
        raise ValueError(f"`limit` must be a number of questions from 1 up, or None for all; got {limit}.")
    counted = _CountFacts(collate)
    evaluation = evaluate_vqa(
        model,
        Subset(dataset, range(num_questions)),
        counted,
        batch_size=min(64, max(1, _FACTS_AT_ONCE // max(1, len(dataset[0].facts)))),
        on_rows=on_rows,
    )
    return VqaScores(
        num_questions=num_questions,
        num_facts=counted.num_facts,
        accuracy=evaluation.accuracy,
        filter=_filter_scores(evaluation),
        seconds=time.perf_counter() - started,
    )


class _CountFacts:
    """A collator that counts the facts it has seen."""

    def __init__(self, collate: VqaCollator) -> None:
        self._collate = collate
        self.num_facts = 0

    def __call__(self, rows: list) -> dict[str, torch.Tensor]:
        batch = self._collate(rows)
        self.num_facts += int(batch["fact_mask"].sum())
        return batch


def _filter_scores(evaluation: Evaluation) -> FilterScores | None:
    matches = evaluation.fact_matches
    if not bool(matches.any()) or bool(matches.all()):
        return None
    return FilterScores(auroc=evaluation.filter_auroc, fpr95=evaluation.filter_fpr95)
