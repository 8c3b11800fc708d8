"""Heads: from the streams' pooled states to answers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override


class ConcatPooling(nn.Module):
    """METER's: a linear layer and tanh on what stands for each stream, side by side."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.text, self.image = nn.Linear(width, width), nn.Linear(width, width)
        self.width = 2 * width

    @override
    def forward(
        self, text: Float[Tensor, "batch width"], image: Float[Tensor, "batch width"]
    ) -> Float[Tensor, "batch pooled"]:
        """Both streams, pooled."""
        return torch.cat([torch.tanh(self.text(text)), torch.tanh(self.image(image))], dim=-1)


class ProductPooling(nn.Module):
    """Linear layers on the fused text and on the image as its tower saw it, side by side with their product.

    The product, as in low-rank bilinear pooling (Kim et al., ICLR 2017), lets a small model compare the two
    streams ("is there a red shape?") from the start, which a sum has to learn by way of its hidden units.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.text, self.image = nn.Linear(width, width), nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.width = 3 * width

    @override
    def forward(
        self, text: Float[Tensor, "batch width"], image: Float[Tensor, "batch width"]
    ) -> Float[Tensor, "batch pooled"]:
        """Both streams and their product, pooled."""
        text, image = self.text(text), self.norm(self.image(image))
        return torch.cat([text, image, text * image], dim=-1)


class AnswerHead(nn.Sequential):
    """METER's classifier over answers: linear, layer norm, GELU, linear."""

    def __init__(self, pooled: int, width: int, num_answers: int) -> None:
        super().__init__(
            nn.Linear(pooled, width), nn.LayerNorm(width), nn.GELU(), nn.Linear(width, num_answers)
        )

    @torch.no_grad()
    def begin_as(self, other: AnswerHead, shared: Mapping[int, int]) -> None:
        """Copy the weights of a head for other answers.

        Args:
            other: The head, as wide as this one.
            shared: For answers that both have, the number here and the number there.
        """
        *hidden, (last, their_last) = zip(self, other, strict=True)
        for layer, theirs in hidden:
            layer.load_state_dict(theirs.state_dict())
        here, there = list(shared), list(shared.values())
        for ours, theirs in zip(last.parameters(), their_last.parameters(), strict=True):
            ours[here] = theirs[there]


class MaskedLanguageHead(nn.Module):
    """BERT's head for masked tokens: linear, GELU, layer norm, then a linear layer to the vocabulary."""

    def __init__(self, width: int, vocabulary: int, eps: float) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=eps)
        self.decoder = nn.Linear(width, vocabulary)

    @override
    def forward(self, states: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch vocabulary"]:
        """Logits of all tokens of the vocabulary."""
        return self.decoder(self.norm(functional.gelu(self.dense(states))))


def answer_loss(
    logits: Float[Tensor, "*questions answers"],
    labels: Int[Tensor, "*questions"] | Float[Tensor, "*questions answers"],
) -> Float[Tensor, ""]:
    """Cross-entropy for one answer a question; for soft scores of all answers METER's loss.

    That is the mean binary cross-entropy times the number of answers. Labels of -100 do not count.
    """
    if not labels.is_floating_point():
        return functional.cross_entropy(logits.flatten(0, -2), labels.flatten())
    return functional.binary_cross_entropy_with_logits(logits, labels) * labels.shape[-1]
