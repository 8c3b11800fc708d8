"""A running mixture over all that a training sees: online EM on sufficient statistics.

Legend: K components, D dimensions, N tokens of a batch.
"""

# What torch.linalg and some methods of tensors return is unknown to the type checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn

from vkood.mixture.covariance import Covariance, Statistics
from vkood.mixture.em import expectation, maximization
from vkood.mixture.params import Mixture, Prior
from vkood.mixture.start import farthest_tokens, starting_mixture, weighted_centre
from vkood.solve.eager import eager


class PopulationMixture(nn.Module):
    """Online EM (Cappe and Moulines 2009): averages of the sufficient statistics with a step of t ** -decay.

    The averages are buffers: saved in the state dict, summed over ranks while training, and left alone in
    eval. Gradients reach the batch at hand through its share in the statistics.

    Args:
        num_components: K.
        dim: D.
        covariance: The family.
        prior: The prior; it fades as more is seen.
        decay: How fast the step shrinks, in (0.5, 1]: 1 weighs all batches alike, less forgets early ones
            sooner.
    """

    def __init__(
        self, num_components: int, dim: int, covariance: Covariance, prior: Prior, decay: float = 0.6
    ) -> None:
        super().__init__()
        if not 0.5 < decay <= 1:
            raise ValueError(f"`decay` must be in (0.5, 1]; got {decay}.")
        self.covariance, self.prior, self.decay = covariance, prior, decay
        empty = covariance.statistics(
            covariance.features(torch.zeros(1, 1, dim)), torch.zeros(1, 1, num_components)
        )
        self.count: Tensor
        self.first: Tensor
        self.second: Tensor
        self.seen: Tensor
        self.updates: Tensor
        for name, value in (("count", empty.count), ("first", empty.first), ("second", empty.second)):
            self.register_buffer(name, value.clone())
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))

    def mixture(self) -> Mixture:
        """The mixture learnt so far, one set.

        Raises:
            RuntimeError: Nothing has been seen yet.
        """
        if not torch.compiler.is_compiling() and int(self.updates) == 0:
            raise RuntimeError(
                "the population mixture has seen no candidates yet: call the layer in training mode first "
                "(`layer.train()`), load a trained state dict, or pass a `context`."
            )
        return maximization(self._scaled(self._averages()), self.covariance, self.prior)

    @eager  # looks at values
    def update(self, tokens: Float[Tensor, "1 tokens dim"], weights: Float[Tensor, "1 tokens"]) -> Mixture:
        """Take a batch in, and return the mixture after it, with a graph to the batch."""
        features = self.covariance.features(tokens)
        before = self.mixture().detach() if int(self.updates) else self._first_guess(tokens.detach(), weights)
        local = expectation(features, weights, before, self.covariance)
        batch = _summed_over_ranks(local)
        total = batch.count.detach().sum()
        if float(total) == 0:
            return before
        step = float(int(self.updates) + 1) ** -self.decay
        averages = Statistics(
            count=torch.lerp(self.count, batch.count / total, step),
            first=torch.lerp(self.first, batch.first / total, step),
            second=torch.lerp(self.second, batch.second / total, step),
        )
        with torch.no_grad():
            self.count, self.first, self.second = (
                averages.count.detach(),
                averages.first.detach(),
                averages.second.detach(),
            )
            self.seen = self.seen + total
            self.updates = self.updates + 1
        return maximization(self._scaled(averages), self.covariance, self.prior)

    def _averages(self) -> Statistics:
        return Statistics(count=self.count, first=self.first, second=self.second)

    def _scaled(self, averages: Statistics) -> Statistics:
        return Statistics(
            count=averages.count * self.seen,
            first=averages.first * self.seen,
            second=averages.second * self.seen,
        )

    def _first_guess(self, tokens: Tensor, weights: Tensor) -> Mixture:
        # from the tokens of all ranks, lest they name the components differently
        tokens, weights = _gathered(tokens), _gathered(weights)
        means = farthest_tokens(tokens, weights, self.count.shape[1])
        centre = weighted_centre(tokens, weights)
        near = starting_mixture(tokens - centre, weights, means - centre, self.covariance, self.prior)
        return near.moved(centre)


def _distributed() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _gathered(local: Tensor) -> Tensor:
    """The items (1, N, ...) of all ranks, in their order; zeros where a rank has fewer than another."""
    if not _distributed():
        return local
    longest = torch.tensor(local.shape[1], device=local.device)
    distributed.all_reduce(longest, distributed.ReduceOp.MAX)
    padded = local.new_zeros(1, int(longest), *local.shape[2:])
    padded[:, : local.shape[1]] = local
    shares = [torch.empty_like(padded) for _ in range(distributed.get_world_size())]
    distributed.all_gather(shares, padded)
    return torch.cat(shares, dim=1)


def _summed_over_ranks(local: Statistics) -> Statistics:
    """The sum over ranks, with the gradient of this rank's share."""
    if not _distributed():
        return local

    def summed(share: Tensor) -> Tensor:
        total = share.detach().clone()
        distributed.all_reduce(total)
        return total + (share - share.detach())

    return Statistics(count=summed(local.count), first=summed(local.first), second=summed(local.second))
