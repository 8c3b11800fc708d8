"""The outlier layer with nothing trained, for facts about a picture whose concepts are known.

The names of a picture's likeliest concepts, encoded by the encoder of facts, are a context in the facts' own space, so
that no projection has to be learnt. Some facts are near everything, so a fact's score is relative to what it would be
if any concept could be pictured:

    score(y) = -log sum_k pi_k exp(kappa <mu_k, y>) + log mean_c exp(kappa <x_c, y>)

with the weights pi_k and directions mu_k that the layer fits to the picture's concepts, weighted by their probabilities
to the power of 0.4, and x_c the names of all concepts that the tagger tells apart. A picture shows more than one thing,
and so there are four components. How well that separates facts that belong from others is measured by
`python -m benchmarks.real.gate`, which has the layer with other options beside it.

Legend: B pictures, T concepts of each, N facts of each, F facts, C concepts in all, D width of a vector.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from vkood.gating import OutlierLayer
from vkood.mixture import Mixture, Spherical

WEIGHT_POWER = 0.4
"""Of a concept's probability, for its weight: the best on Caltech-101 (`python -m benchmarks.real.gate --arms`)."""

NUM_COMPONENTS = 4
KAPPA = 15.0
"""The best on the photographs of Caltech-101's part for training."""


class ConceptGate:
    """Scores facts by the concepts of a picture; larger = more outlying.

    Args:
        names: (C, D) vectors of length 1 of the names of all concepts.
        kappa: The layer's concentration.

    Example:
        >>> names = torch.eye(4)
        >>> gate = ConceptGate(names)
        >>> facts = torch.eye(4)[None]
        >>> scores = gate.scores(facts, names[None, :2], torch.tensor([[0.9, 0.1]]))
        >>> scores.argsort().tolist()[0][:2]
        [0, 1]
    """

    def __init__(self, names: Float[Tensor, "names width"], kappa: float = KAPPA) -> None:
        width = names.shape[-1]
        self.layer = OutlierLayer(
            width, width, num_components=NUM_COMPONENTS, joint="identity", family=Spherical(kappa=kappa)
        ).eval()
        assert self.layer.log_kappa is not None
        self._anything = Mixture(
            log_weight=names.new_zeros(1, len(names)),
            mean=names[None],
            log_scale=names.new_full((1, 1), -float(self.layer.log_kappa.detach())),
        )

    @torch.no_grad()
    def usual_scores(self, facts: Float[Tensor, "facts width"]) -> Float[Tensor, " facts"]:
        """What scores would be if any concept could be pictured.

        Args:
            facts: (F, D) vectors of facts.

        Returns:
            (F,) scores.
        """
        return self.layer.score_of(facts[None], self._anything)[0]

    @torch.no_grad()
    def scores(
        self,
        facts: Float[Tensor, "pictures facts width"],
        concepts: Float[Tensor, "pictures concepts width"],
        probabilities: Float[Tensor, "pictures concepts"],
        usual: Float[Tensor, "pictures facts"] | None = None,
    ) -> Float[Tensor, "pictures facts"]:
        """Score facts relative to what is usual.

        Args:
            facts: (B, N, D) vectors of the facts.
            concepts: (B, T, D) vectors of the names of each picture's likeliest concepts.
            probabilities: (B, T) their probabilities.
            usual: (B, N) the facts' usual scores; computed, if None.

        Returns:
            (B, N) scores; larger = more outlying.
        """
        weights = probabilities**WEIGHT_POWER
        weights = weights / weights.sum(-1, keepdim=True)
        own = self.layer(facts, context=concepts, context_mask=weights).score
        if usual is None:
            usual = self.usual_scores(facts.flatten(0, 1)).view(own.shape)
        return own - usual
