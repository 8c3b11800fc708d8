"""Visual question answering on tables by generated text: answers ranked among a vocabulary, or written freely."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor
from typing_extensions import override

from vkood.data.batches import Collator, GenerativeAnswerBatches
from vkood.data.rows import Rows
from vkood.models import BlipVkoodForVisualQuestionAnswering
from vkood.tasks.answering import NUM_RANKED, AnswerAccuracy, QuestionTask
from vkood.tasks.task import EvaluationOptions, Scores, in_order, iterate


@dataclass(frozen=True, kw_only=True)
class GenerativeAnsweringTask(QuestionTask):
    """Questions, answered by a decoder.

    Attributes:
        inference: "rank" for the likeliest answer of the tables' vocabulary, "generate" for free text.
        k: Number of answers that are ranked by all their tokens.
    """

    name: ClassVar[str] = "generative-answering"
    models: ClassVar[Mapping[str, Any]] = {"blip": BlipVkoodForVisualQuestionAnswering}

    family: str = "blip"
    inference: str = "rank"
    k: int = 128

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        if self.inference not in ("rank", "generate"):
            raise ValueError(f'`inference` must be "rank" or "generate"; got {self.inference!r}.')

    @override
    def complete(self, model: Any) -> None:
        if self.answers is None and self.inference == "rank":
            raise ValueError(
                "no table has the answers to rank: `data.folder` must have the tables that were trained on, or take "
                "`options.inference=generate`."
            )

    @override
    def collator(self, shared: Collator, *, training: bool) -> Collator:
        if not training:
            return shared
        return GenerativeAnswerBatches(**vars(shared), vocabulary=self.answers or ())

    @override
    def evaluate(self, model: Any, rows: Rows, collate: Collator, options: EvaluationOptions) -> Scores:
        """As with a vocabulary of the model's own; answers that are generated count where they are in the tables'."""
        vocabulary, ranks = self.answers or (), self.inference == "rank"
        accuracy = AnswerAccuracy(rows, vocabulary)
        predictions: list[tuple[int, dict[str, Any]]] = []
        candidates = collate.texts(vocabulary) if ranks else {}
        candidates = {name: tensor.to(model.device) for name, tensor in candidates.items()}
        tokenizer = collate.processor.tokenizer
        for examples, batch in iterate(model, rows, collate, options):
            extra: list[dict[str, Any]]
            if ranks:
                ranked = self._ranked(model, batch, candidates)
                answers, extra = [pairs[0][0] for pairs in ranked], [{"ranked": pairs} for pairs in ranked]
            else:
                answers = tokenizer.batch_decode(model.generate(**batch), skip_special_tokens=True)
                extra = [{} for _ in answers]
            for example, answer, more in zip(examples, answers, extra, strict=True):
                accuracy.add(answer, example)
                predictions.append((example.index, {"question_id": example.id, "answer": answer, **more}))
        return Scores(metrics=accuracy.result(), predictions=in_order(predictions))

    def _ranked(
        self, model: Any, batch: dict[str, Tensor], candidates: dict[str, Tensor]
    ) -> list[list[list[Any]]]:
        """The likeliest answers of each question with their probabilities."""
        ranks = model.rank_answers(
            answer_ids=candidates["input_ids"], answer_mask=candidates["attention_mask"], k=self.k, **batch
        )
        vocabulary = self.answers or ()
        pairs = zip(ranks.indices.tolist(), ranks.probabilities.tolist(), strict=True)
        return [
            [
                [vocabulary[index], round(probability, 6)]
                for index, probability in zip(indices[:NUM_RANKED], best[:NUM_RANKED], strict=True)
            ]
            for indices, best in pairs
        ]
