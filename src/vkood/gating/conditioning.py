"""Steering: the text says which part of the image counts as "in distribution".

Facts are gated by how well they fit the image's tokens. Where an image shows several things and a question
names one, facts about the others fit as well; so the question may weigh the tokens, and move what the fit
expects. Legend: R rows (a text and its image), M image tokens, K components, D joint dimensions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

SteeringName = Literal["none", "weights", "prior", "weights_and_prior"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Steered:
    """The steering of one fit for each row.

    Attributes:
        log_weights: (rows, tokens) logarithms of how much each image token counts, which is 1 on average;
            None for all alike.
        prior_mean: (rows, components, joint_dim) where the prior expects the components, which is where the
            fit starts as well; None for the layer's own.
    """

    log_weights: Float[Tensor, "rows tokens"] | None
    prior_mean: Float[Tensor, "rows components joint"] | None

    @property
    def weights(self) -> Float[Tensor, "rows tokens"] | None:
        """The weight of each image token."""
        return None if self.log_weights is None else self.log_weights.exp()


class TextSteering(nn.Module):
    """Token weights and prior means from a text.

    With c_m an image token and t the mean of the text's tokens:

        w_m  = M softmax_m(<key(c_m), query(t)> / sqrt(D))
        m0_k = sqrt(D) normalise(component_k + expected(t))

    The weights keep the sum that unweighted tokens have, so that priors count alike. Learnt components enter
    as prior means, since a start of the fit, by itself, gets no gradient from a fixed point.

    Args:
        text_dim: Width of the text's tokens.
        image_dim: Width of the image's tokens.
        joint_dim: Width of the joint space.
        num_components: Components of the mixture.
        by: "weights", "prior" or "weights_and_prior".
    """

    def __init__(
        self, text_dim: int, image_dim: int, joint_dim: int, num_components: int, by: SteeringName
    ) -> None:
        super().__init__()
        weighs, expects = by in ("weights", "weights_and_prior"), by in ("prior", "weights_and_prior")
        self.key = nn.Linear(image_dim, joint_dim) if weighs else None
        self.query = nn.Linear(text_dim, joint_dim) if weighs else None
        self.components = nn.Embedding(num_components, joint_dim) if expects else None
        self.expected = nn.Linear(text_dim, joint_dim) if expects else None

    @override
    def forward(
        self,
        words: Float[Tensor, "rows words text_dim"],
        mask: Int[Tensor, "rows words"],
        image: Float[Tensor, "rows tokens image_dim"],
    ) -> Steered:
        """Steer by texts.

        Args:
            words: The texts' tokens.
            mask: 1 for tokens, 0 for padding.
            image: The tokens of each text's image.
        """
        kept = mask[..., None].to(words.dtype)
        text = (words * kept).sum(1) / kept.sum(1).clamp_min(1)  # (R, text_dim)
        log_weights = means = None
        if self.key is not None and self.query is not None:
            query = self.query(text).float()
            affinity = torch.bmm(self.key(image).float(), query[..., None])[..., 0]  # (R, M)
            shares = torch.log_softmax(affinity / math.sqrt(query.shape[-1]), dim=-1)
            log_weights = shares + math.log(image.shape[1])
        if self.components is not None and self.expected is not None:
            means = (self.components.weight + self.expected(text)[:, None]).float()
            means = functional.normalize(means, dim=-1) * math.sqrt(means.shape[-1])
        return Steered(log_weights=log_weights, prior_mean=means)
