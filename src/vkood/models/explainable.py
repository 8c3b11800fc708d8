"""Models that say what their answer depends on: what a processor needs of them to explain it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from transformers import PROCESSOR_MAPPING, PreTrainedModel

if TYPE_CHECKING:
    _Mixin = PreTrainedModel
else:  # mixed into models, without bringing the class attributes of a model of its own
    _Mixin = object

MAX_ANSWERS = 100
"""The max number of answers of an explanation, the likeliest."""
MATCHING = ("does not match", "matches")
"""What the logits of matching heads stand for."""
TRUTH = ("false", "true")
"""What the logits of reasoning heads stand for."""


class Explainable(_Mixin):
    """What a model with a head gains: its answers can be explained.

    Attributes:
        processor: Makes its batches; by default the one in the folder that the model was loaded from.
    """

    _processor: Any = None
    _answer_logits: ClassVar[str] = "logits"
    """Which of the output's logits, (1, answers), the answers are taken from."""
    _answer_names: ClassVar[tuple[str, ...] | None] = None
    """What they stand for; the configuration's `id2label`, if None."""

    @property
    def processor(self) -> Any:
        """The model's processor, of the class that is registered with `AutoProcessor` for its configuration.

        Raises:
            ValueError: If none was set, and none lies with the model, or one with more tokens than the model has.
        """
        if self._processor is None:
            folder = self.name_or_path
            try:
                kind: Any = PROCESSOR_MAPPING[type(self.config)]
                processor = kind.from_pretrained(folder)
            except ValueError as error:
                raise ValueError(
                    f"there is no processor with the model ({folder!r}). Save one in its folder, with "
                    f"`processor.save_pretrained`, or in Python set `model.processor`. {error}"
                ) from error
            known: int = self.config.text_config.vocab_size
            if (tokens := len(processor.tokenizer)) > known:
                raise ValueError(
                    f"The tokenizer in {folder!r} has {tokens:,} tokens, but the model there knows {known:,} only; "
                    "they must come from the same training."
                )
            self._processor = processor
        return self._processor

    @processor.setter
    def processor(self, processor: Any) -> None:
        self._processor = processor

    @property
    def images_per_text(self) -> int:
        """How many pictures an example has."""
        return 1

    def explain(self, image: Any, text: str, facts: Any = "default") -> Any:
        """Answer a question about a picture, and say what the answer depends on; see `VkoodProcessor.explain`.

        Args:
            image: A file's name or content, a PIL picture, or an array; for visual reasoning a list of them.
            text: The question; for visual reasoning the sentence, for retrieval the caption.
            facts: "default", as for `vkood predict`: the store that comes with vkood; another store; sentences; or None
                for no facts.

        Raises:
            ValueError: If the model has no processor, or no head to answer with, or there are too few or too many
                pictures, or one of them is bad.
        """
        return self.processor.explain(self, image, text, facts)

    def ranked_answers(self, batch: dict[str, Any], tokenizer: Any) -> tuple[Any, list[tuple[str, float]]]:
        """The output for one example, and its answers with their probabilities, the likeliest first.

        Args:
            batch: The example.
            tokenizer: The processor's, for answers that are written token by token.
        """
        output = self(**batch)
        logits = output.get(self._answer_logits)
        if logits is None:
            raise ValueError(
                f"this model has no head to answer with: its output has no `{self._answer_logits}`."
            )
        labels: Any = self._answer_names or self.config.id2label
        chances = logits[0].float().softmax(-1)
        best = chances.topk(min(MAX_ANSWERS, len(chances)))
        return output, [(labels[int(i)], float(chance)) for chance, i in zip(*best, strict=True)]
