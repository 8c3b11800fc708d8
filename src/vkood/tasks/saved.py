"""A saved model for visual question answering: weights, answers and tokenizer, from one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase

from vkood.models import VkoodConfig, VkoodForVisualQuestionAnswering


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
    config = _config(folder)
    _require_answers(folder, config, answers)
    tokenizer = _tokenizer(folder, config)
    vocabulary: int = config.get_text_config().vocab_size
    if len(tokenizer) > vocabulary:
        raise ValueError(
            f"The tokenizer in {str(folder)!r} has {len(tokenizer)} tokens, but the model knows {vocabulary} "
            "only; they must come from one training."
        )
    return _weights(folder, config), tokenizer


def answer_ids(config: PreTrainedConfig) -> dict[str, int]:
    """Return the id of every answer of a model that picks one, from its configuration's `id2label`."""
    return {str(answer): int(index) for index, answer in (config.id2label or {}).items()}


def _config(folder: Path) -> VkoodConfig:
    try:
        return VkoodConfig.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # damage shows in as many ways as there are fields
        raise ValueError(
            f"The configuration of the model in {str(folder)!r} is damaged: {_line(error)}"
        ) from error


def _require_answers(folder: Path, config: VkoodConfig, answers: Sequence[str]) -> None:
    known = answer_ids(config)
    lacking = [answer for answer in answers if answer not in known]
    if lacking:
        raise ValueError(
            f"The model in {str(folder)!r} lacks {len(lacking)} of the {len(answers)} answers of this task, "
            f"such as {lacking[0]!r}; it must have been trained on them."
        )


def _tokenizer(folder: Path, config: VkoodConfig) -> PreTrainedTokenizerBase:
    try:
        return AutoTokenizer.from_pretrained(folder, config=config, local_files_only=True)
    except Exception as error:  # the tokenizers library raises no narrower one for a damaged file
        raise ValueError(f"The tokenizer in {str(folder)!r} is missing or damaged: {_line(error)}") from error


def _weights(folder: Path, config: VkoodConfig) -> VkoodForVisualQuestionAnswering:
    try:
        loaded: Any = VkoodForVisualQuestionAnswering.from_pretrained(
            folder, config=config, local_files_only=True, output_loading_info=True
        )
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"The weights in {str(folder)!r} are missing or damaged: {_line(error)}") from error
    model, told = loaded
    for said, keys in (
        ("lack", told["missing_keys"]),
        ("have beyond the model's", told["unexpected_keys"]),
    ):
        if keys:
            raise ValueError(
                f"The weights in {str(folder)!r} do not fit its config.json: they {said} {len(keys)} "
                f"tensors, such as {min(keys)!r}."
            )
    return model.eval()


def _line(error: Exception) -> str:
    """The first line of what an error says, as the end of a sentence."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".:") + "."
