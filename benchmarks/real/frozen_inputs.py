"""Examples of a text and a photograph, as frozen towers see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vkood.models import VkoodModel

from .frozen_towers import kept_tensors, photograph_tokens, states_of_files, text_tokens
from .photo_facts import Facts


@dataclass(frozen=True, slots=True)
class Inputs:
    """What frozen towers made of photographs and texts, and the facts of each example.

    Args:
        photographs: (photographs, tokens, D).
        texts: (texts, tokens, D).
        text_mask: (texts, tokens) where there is one.
        photograph: (examples,) the photograph of each.
        text: (examples,) its text.
        facts: Those of the examples; None for none.
    """

    photographs: Tensor
    texts: Tensor
    text_mask: Tensor
    photograph: Tensor
    text: Tensor
    facts: Facts | None = None

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.photograph)

    def without_facts(self) -> Inputs:
        """The same examples without knowledge."""
        return replace(self, facts=None)

    def batch(self, examples: Tensor, dropout: float = 0.0, fact_dropout: float = 0.0) -> dict[str, Tensor]:
        """What models take of some examples, each a text and a photograph.

        Args:
            examples: Their numbers.
            dropout: Of the towers' features.
            fact_dropout: The share of examples whose facts are all left out.
        """
        texts = self.texts_of(self.text[examples], dropout)
        image = nn.functional.dropout(self.photographs[self.photograph[examples]].float(), dropout)
        facts: dict[str, Tensor] = {}
        if self.facts is not None:
            vectors, mask = self.facts.at(examples)
            kept = torch.rand(len(examples), 1) >= fact_dropout
            facts = {"fact_features": vectors, "fact_mask": mask & kept}
        return {"image_features": image, **texts, **facts}

    def texts_of(self, texts: Tensor, dropout: float = 0.0) -> dict[str, Tensor]:
        """What models take of some texts."""
        mask = self.text_mask[texts]
        mask = mask[:, : int(mask.sum(1).max())]
        states = nn.functional.dropout(self.texts[texts, : mask.shape[1]].float(), dropout)
        return {
            "input_ids": torch.zeros(mask.shape, dtype=torch.long),  # of which the shape alone is used
            "attention_mask": mask.long(),
            "text_features": states,
        }


def encoded(
    core: VkoodModel,
    towers: tuple[Path, Path],
    photographs: Sequence[Path],
    texts: Sequence[str],
    scratch: Path,
) -> Inputs:
    """What a model's towers make of examples, each a photograph and a text; kept for the next time.

    Args:
        core: The model within, whose towers were loaded from `towers`.
        towers: The folders of the image tower and of the text tower.
        photographs: That of each example.
        texts: That of each example.
        scratch: Where the towers' outputs are kept.
    """
    different_photographs, different_texts = list(dict.fromkeys(photographs)), list(dict.fromkeys(texts))
    size: Any = core.config.image_config.image_size  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess] - a configuration by now
    sides = (size, size) if isinstance(size, int) else tuple(size)
    image = kept_tensors(
        scratch,
        "photographs",
        (str(towers[0]), states_of_files(different_photographs)),
        lambda: {"tokens": photograph_tokens(core.image_tower, different_photographs, sides)},
    )
    text = kept_tensors(
        scratch,
        "texts",
        (str(towers[1]), different_texts),
        lambda: text_tokens(core.text_tower, towers[1], different_texts),
    )
    place_of_photograph = {photograph: place for place, photograph in enumerate(different_photographs)}
    place_of_text = {text: place for place, text in enumerate(different_texts)}
    return Inputs(
        photographs=image["tokens"],
        texts=text["states"],
        text_mask=text["mask"],
        photograph=torch.tensor([place_of_photograph[photograph] for photograph in photographs]),
        text=torch.tensor([place_of_text[text] for text in texts]),
    )
