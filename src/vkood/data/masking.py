"""Masked language modelling with whole words: all tokens of a word are chosen, or none."""

from __future__ import annotations

from typing import Any

import numpy as np

IGNORED = -100
"""The label of tokens that are not predicted."""
_BEGINS_WORD = ("Ġ", "▁")
_CONTINUES_WORD = "##"


class WholeWordMask:
    """Chooses words and hides them: 80 % behind the mask token, 10 % behind a random token, 10 % not at all.

    What a word is depends on the tokenizer: BERT marks tokens that continue a word with "##"; RoBERTa and related
    tokenizers mark tokens that begin one by a leading space, so the first token of a text begins a word too. Special
    tokens and padding are no words. At least one word of every text is chosen.

    Args:
        tokenizer: The tokenizer; it needs a mask token.
        share: Share of a text's tokens to predict.

    Raises:
        ValueError: If the tokenizer has no mask token, or `share` is not between 0 and 1.
    """

    def __init__(self, tokenizer: Any, share: float = 0.15) -> None:
        if tokenizer.mask_token_id is None:
            raise ValueError("`tokenizer` must have a mask token to hide words behind; it has none.")
        if not 0 < share <= 1:
            raise ValueError(f"`share` must be above 0 and at most 1; got {share}.")
        self.share = share
        self._mask_id: int = tokenizer.mask_token_id
        self._special = frozenset(tokenizer.all_special_ids)
        pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        marks_beginnings = sum(str(piece).startswith(_BEGINS_WORD) for piece in pieces) > sum(
            str(piece).startswith(_CONTINUES_WORD) for piece in pieces
        )
        self._begins = np.array(
            [
                str(piece).startswith(_BEGINS_WORD)
                if marks_beginnings
                else not str(piece).startswith(_CONTINUES_WORD)
                for piece in pieces
            ]
        )
        self._words = np.array([index for index in range(len(pieces)) if index not in self._special])

    def words(self, ids: list[int]) -> list[list[int]]:
        """The places of each word of a text."""
        words: list[list[int]] = []
        after_special = True
        for place, token in enumerate(ids):
            if token in self._special:
                after_special = True
                continue
            if after_special or self._begins[token]:
                words.append([])
            words[-1].append(place)
            after_special = False
        return words

    def __call__(self, ids: list[int], generator: np.random.Generator) -> tuple[list[int], list[int]]:
        """Hide words of a text.

        Args:
            ids: Its token ids.
            generator: Source of randomness.

        Returns:
            The ids with words hidden, and the labels, which are the hidden ids, and -100 elsewhere.
        """
        words = self.words(ids)
        target = max(1, round(self.share * sum(map(len, words))))
        hidden, labels, chosen = list(ids), [IGNORED] * len(ids), 0
        for number in generator.permutation(len(words)):
            word = words[number]
            # A long word may exceed the target only if it is the first.
            if chosen and chosen + len(word) > target:
                continue
            for place in word:
                labels[place] = ids[place]
                hidden[place] = self._hidden(ids[place], generator)
            chosen += len(word)
            if chosen >= target:
                break
        return hidden, labels

    def _hidden(self, token: int, generator: np.random.Generator) -> int:
        draw = generator.random()
        if draw < 0.8:
            return self._mask_id
        return int(generator.choice(self._words)) if draw < 0.9 else token
