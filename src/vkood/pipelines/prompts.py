"""Prompts with facts in them, and which tokens each fact became; facts whose gates are open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vkood.fields import Real, require_fields

TEMPLATE = "Facts:\n{facts}\n{question}"
"""How a prompt is worded by default; `{facts}` becomes a line "- ..." for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactPrompts:
    """Prompts with facts, as a model takes them.

    Attributes:
        inputs: What the tokenizer or processor makes of them: `input_ids`, `attention_mask`, and what pictures need.
        fact_of_token: (batch, tokens) which fact of its prompt a token belongs to, -1 for none and for padding. A
            fact's tokens are those of its line, from the dash to the line's end.
        texts: The prompts as text, in which each picture is a single placeholder.
    """

    inputs: Mapping[str, Any]
    fact_of_token: Int[Tensor, "batch tokens"]
    texts: tuple[str, ...]


def fact_prompts(
    processor: Any,
    questions: Sequence[str],
    facts: Sequence[Sequence[str]],
    *,
    images: Sequence[Any] | None = None,
    template: str = TEMPLATE,
) -> FactPrompts:
    """Make prompts of questions, facts and pictures, for `gate_attention`.

    With a chat template, a prompt is the user's turn, pictures first; without one, it is the text alone, and pictures
    need their placeholder in `template`.

    Args:
        processor: A model's tokenizer or processor, from `AutoTokenizer` or `AutoProcessor`; it pads as it is set to.
        questions: The question of each prompt.
        facts: The facts of each prompt, as many as there are.
        images: The picture of each prompt, or a list of pictures for each; None for prompts of text alone.
        template: The wording, with `{facts}` and `{question}` once each, in whichever order.

    Raises:
        ValueError: If there are not as many of everything as questions, the tokenizer cannot say which tokens a text
            became, or the facts cannot be found among the processor's tokens, as when pictures follow them.

    Example:
        >>> from transformers import AutoTokenizer
        >>> tokenizer = AutoTokenizer.from_pretrained(folder)  # doctest: +SKIP
        >>> prompts = fact_prompts(tokenizer, ["what is red?"], [["a kite is red.", "a mug is big."]])  # doctest: +SKIP
        >>> with gate_attention(model, log_gate, prompts.fact_of_token):  # doctest: +SKIP
        ...     tokens = model.generate(**prompts.inputs)
    """
    tokenizer = getattr(processor, "tokenizer", processor)
    _require_prompts(tokenizer, questions, facts, images, template)
    nested = None if images is None else [list(i) if isinstance(i, list | tuple) else [i] for i in images]
    has_chat = bool(getattr(processor, "chat_template", None))
    texts: list[str] = []
    lines: list[list[tuple[int, int]]] = []
    for number, (question, of_question) in enumerate(zip(questions, facts, strict=True)):
        text, spans = _written(template, question, of_question)
        if has_chat:
            pictures = None if nested is None else len(nested[number])
            whole = _chat(processor, text, pictures)
            if whole.count(text) != 1:
                raise ValueError(
                    "The chat template changes the text of a turn, so that its facts cannot be found. "
                    "Take the tokens of the prompt yourself, and pass `gate_attention` the gates of each."
                )
            shift = whole.index(text)
            text, spans = whole, [(start + shift, end + shift) for start, end in spans]
        texts.append(text)
        lines.append(spans)
    start_token = getattr(tokenizer, "bos_token", None)
    # As transformers does: templates write special tokens themselves, those of processors all but the first.
    special = not has_chat or (
        processor is not tokenizer and not (start_token and texts[0].startswith(start_token))
    )
    options: dict[str, Any] = {"add_special_tokens": special}
    pictures = {} if nested is None else {"images": nested}
    inputs = processor(text=texts, padding=len(texts) > 1, return_tensors="pt", **pictures, **options)
    fact_of_token = torch.full_like(inputs["input_ids"], -1)
    for row, (text, spans) in enumerate(zip(texts, lines, strict=True)):
        alone = tokenizer(text, return_offsets_mapping=True, **options)
        present = inputs["attention_mask"][row].nonzero()[:, 0]
        owners = _owners(alone["offset_mapping"], spans)
        first = next((place for place, owner in enumerate(owners) if owner >= 0), len(owners))
        tail = (
            len(owners) - first
        )  # pictures become many tokens, so only what follows them stands where it stood
        if inputs["input_ids"][row, present[len(present) - tail :]].tolist() != alone["input_ids"][first:]:
            raise ValueError(
                f"The facts of prompt {row} are not among the processor's tokens as they are among its tokenizer's. "
                "Pictures must stand before facts in `template`."
            )
        fact_of_token[row, present[len(present) - tail :]] = torch.tensor(owners[first:], dtype=torch.long)
    return FactPrompts(inputs=inputs, fact_of_token=fact_of_token, texts=tuple(texts))


def open_facts(
    facts: Sequence[Sequence[str]], gate: Float[Tensor, "batch facts"], *, min_gate: float = 0.5
) -> list[list[str]]:
    """Leave out the facts whose gates are closed: for models and servers that take no bias of attention.

    Args:
        facts: The facts of each prompt.
        gate: (batch, facts) their gates, as in `GateOutput.gate`; what is beyond a prompt's facts does not count.
        min_gate: The smallest gate of a fact that stays, from 0 to 1.

    Raises:
        ValueError: If there are fewer gates than facts, or not as many rows.

    Example:
        >>> import torch
        >>> open_facts([["a", "b", "c"], ["d"]], torch.tensor([[0.9, 0.1, 0.5], [0.2, 0.0, 0.0]]))
        [['a', 'c'], []]
    """
    require_fields({"min_gate": min_gate}, {"min_gate": Real(0, 1)})
    longest = max((len(of_prompt) for of_prompt in facts), default=0)
    if gate.dim() != 2 or len(gate) != len(facts) or gate.shape[1] < longest:
        raise ValueError(
            f"`gate` must be ({len(facts)} prompts, {longest} facts or more), as `facts` has; got {tuple(gate.shape)}."
        )
    rows = (gate >= min_gate).tolist()
    return [
        [fact for fact, is_open in zip(of_prompt, row, strict=False) if is_open]  # rows are padded
        for of_prompt, row in zip(facts, rows, strict=True)
    ]


def _require_prompts(
    tokenizer: Any,
    questions: Sequence[str],
    facts: Sequence[Sequence[str]],
    images: Sequence[Any] | None,
    template: str,
) -> None:
    if isinstance(questions, str) or not all(isinstance(question, str) for question in questions):
        raise ValueError("`questions` must be a list of texts. Put a single one into a list.")
    if isinstance(facts, str) or len(facts) != len(questions) or any(isinstance(f, str) for f in facts):
        raise ValueError(
            f"`facts` must have a list of sentences for each of the {len(questions)} questions; got {len(facts)} items."
        )
    if images is not None and len(images) != len(questions):
        raise ValueError(
            f"`images` must have an item for each of the {len(questions)} questions; got {len(images)}."
        )
    if template.count("{facts}") != 1 or template.count("{question}") != 1:
        raise ValueError(f"`template` must have {{facts}} and {{question}} once each; got {template!r}.")
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(
            f"`processor` must have a fast tokenizer, which knows what its tokens stand for in a text; "
            f"{type(tokenizer).__name__} is none. Pass `gate_attention` the gates of each token."
        )


def _written(template: str, question: str, facts: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """A prompt's text, and from where to where each fact's line goes."""
    before, after = (part.replace("{question}", question) for part in template.split("{facts}"))
    spans: list[tuple[int, int]] = []
    text = before
    for fact in facts:
        line = f"- {fact}\n"
        spans.append((len(text), len(text) + len(line)))
        text += line
    return text + after, spans


def _chat(processor: Any, text: str, pictures: int | None) -> str:
    """The user's turn in the words of a chat template, up to where the model begins."""
    content: Any = text
    if pictures is not None:
        content = [{"type": "image"}] * pictures + [{"type": "text", "text": text}]
    turns = [{"role": "user", "content": content}]
    return processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)


def _owners(offsets: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]) -> list[int]:
    """Which span each token begins in, -1 for none; tokens of no width, which tokenizers add, are in none."""
    owners: list[int] = []
    for begin, end in offsets:
        inside = (fact for fact, (start, stop) in enumerate(spans) if start <= begin < stop)
        owners.append(next(inside, -1) if end > begin else -1)
    missing = set(range(len(spans))).difference(owners)
    if missing:
        raise ValueError(f"Fact {min(missing)} of a prompt has no token of its own; is it empty?")
    return owners
