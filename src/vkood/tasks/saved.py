"""A saved model for visual question answering: weights, answers and tokenizer, from one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from vkood.models import VkoodForVisualQuestionAnswering
from vkood.models.loading import load_config, load_model, load_tokenizer


def load_vqa_model(
    folder: str | Path, *, answers: Sequence[str]
) -> tuple[VkoodForVisualQuestionAnswering, PreTrainedTokenizerBase]:
    """Load what `save_pretrained` of a model and of its tokenizer wrote to one folder, and nothing less.

    A weight that is missing, left over or of another shape is an error: nothing is made up with new weights.

    Args:
        folder: The folder.
        answers: The answers that the model has to know, so that it can be scored on them.

    Returns:
        The model, in eval mode, and its tokenizer.

    Raises:
        ValueError: If anything is missing, damaged or does not fit. The message is one sentence for the user.
    """
    folder = Path(folder)
    config = load_config(folder)
    _require_answers(folder, config, answers)
    tokenizer = load_tokenizer(folder, config=config)
    vocabulary: int = config.get_text_config().vocab_size
    if len(tokenizer) > vocabulary:
        raise ValueError(
            f"The tokenizer in {str(folder)!r} has {len(tokenizer)} tokens, but the model knows {vocabulary} "
            "only; they must come from one training."
        )
    model = load_model(folder)
    if not isinstance(model, VkoodForVisualQuestionAnswering):
        raise ValueError(
            f"The model in {str(folder)!r} must be a {VkoodForVisualQuestionAnswering.__name__}, but is a "
            f"{type(model).__name__}."
        )
    return model, tokenizer


def answer_ids(config: PreTrainedConfig) -> dict[str, int]:
    """Return the id of every answer of a model that picks one, from its configuration's `id2label`."""
    return {str(answer): int(index) for index, answer in (config.id2label or {}).items()}


def _require_answers(folder: Path, config: PreTrainedConfig, answers: Sequence[str]) -> None:
    known = answer_ids(config)
    lacking = [answer for answer in answers if answer not in known]
    if lacking:
        raise ValueError(
            f"The model in {str(folder)!r} lacks {len(lacking)} of the {len(answers)} answers of this task, "
            f"such as {lacking[0]!r}; it must have been trained on them."
        )
