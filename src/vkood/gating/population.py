"""A running mixture over all that a training sees: online EM on sufficient statistics.

Legend: K components, D dimensions, N tokens of a batch.
"""

# What torch.linalg and some methods of tensors return is unknown to the type checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn
from typing_extensions import override

from vkood.fields import Real, Whole, require_fields
from vkood.mixture.families.gaussian import (
    Covariance,
    Statistics,
    expectation,
    maximization,
    starting_mixture,
)
from vkood.mixture.params import Mixture, Prior
from vkood.mixture.start import farthest_tokens, weighted_centre
from vkood.solve.eager import eager
from vkood.solve.precision import full_precision


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
        require_fields(
            {"num_components": num_components, "dim": dim, "decay": decay},
            {"num_components": Whole(), "dim": Whole(), "decay": Real(0.5, 1, above=True)},
        )
        self.covariance, self.prior, self.decay = covariance, prior, decay
        dtype = covariance.working_dtype(torch.float32)
        self._origin = torch.zeros(1, 1, dim, dtype=dtype)
        shares = torch.zeros(1, 1, num_components, dtype=dtype)
        empty = covariance.statistics(self._origin, shares, self._origin)
        self.count: Tensor
        self.first: Tensor
        self.second: Tensor
        self.seen: Tensor
        self.updates: Tensor
        for name, value in (("count", empty.count), ("first", empty.first), ("second", empty.second)):
            self.register_buffer(name, value.clone())
        self.register_buffer("seen", torch.zeros((), dtype=dtype))
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))
        self._latest: _Update | None = None

    @override
    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PopulationMixture:
        """Move the averages, but keep their precision: half precision cannot count what it has seen."""

        def moved(tensor: Tensor) -> Tensor:
            there = fn(tensor)
            return there if there.dtype == tensor.dtype else tensor.to(there.device)

        return super()._apply(moved, recurse)

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
        return self._maximized(self._averages(), self.seen)

    @eager  # looks at values
    def update(self, tokens: Float[Tensor, "1 tokens dim"], weights: Float[Tensor, "1 tokens"]) -> Mixture:
        """Take a batch in, and return the mixture after it, with a graph to the batch.

        When activations are checkpointed, the second of the two calls for a batch finds it taken in already.

        Raises:
            RuntimeError: The second call does not follow the first one at once.
        """
        dtype = self.covariance.working_dtype(torch.float32)
        tokens, weights = tokens.to(dtype), weights.to(dtype)
        with full_precision(tokens.device):
            again = _within_backward()
            latest = self._latest if again else None
            before = self._before(tokens.detach(), weights) if latest is None else latest.before
            origin = self._origin.to(tokens.device)
            local = expectation(tokens, weights, before, self.covariance, origin)
            if latest is None:
                self._latest = latest = self._taken_in(before, local)
            elif not torch.allclose(local.count, latest.own_count, rtol=1e-3, atol=1e-3):
                raise RuntimeError(
                    "a checkpointed layer in population mode was called again, with other candidates, before the "
                    "backward of its first call: call it once for each backward, or do not checkpoint it."
                )
            if latest.step == 0:
                return before
            averages = Statistics(
                origin=origin,
                count=_towards(latest.averages.count, latest.batch.count, local.count, latest),
                first=_towards(latest.averages.first, latest.batch.first, local.first, latest),
                second=_towards(latest.averages.second, latest.batch.second, local.second, latest),
            )
            if not again:
                with torch.no_grad():
                    self.count, self.first, self.second = (
                        averages.count.detach(),
                        averages.first.detach(),
                        averages.second.detach(),
                    )
                    self.seen, self.updates = latest.num_seen, self.updates + 1
            return self._maximized(averages, latest.num_seen)

    def _before(self, tokens: Tensor, weights: Tensor) -> Mixture:
        dtype = tokens.dtype
        return self.mixture().detach().to(dtype) if int(self.updates) else self._first_guess(tokens, weights)

    def _taken_in(self, before: Mixture, local: Statistics) -> _Update:
        batch = _summed_over_ranks(local)
        total = batch.count.sum()
        return _Update(
            before=before,
            averages=self._averages(),
            batch=batch,
            own_count=local.count.detach(),
            num_seen=self.seen.to(total.dtype) + total,
            total=total,
            step=float(int(self.updates) + 1) ** -self.decay if float(total) else 0.0,
        )

    def _averages(self) -> Statistics:
        dtype, device = self.covariance.working_dtype(torch.float32), self.count.device
        return Statistics(
            origin=self._origin.to(device),
            count=self.count.to(dtype),
            first=self.first.to(dtype),
            second=self.second.to(dtype),
        )

    def _maximized(self, averages: Statistics, num_tokens: Tensor) -> Mixture:
        scaled = Statistics(
            origin=averages.origin,
            count=averages.count * num_tokens,
            first=averages.first * num_tokens,
            second=averages.second * num_tokens,
        )
        prior = self.prior.of_sets(1, averages.first)
        return maximization(scaled, self.covariance, prior).to(torch.float32)

    def _first_guess(self, tokens: Tensor, weights: Tensor) -> Mixture:
        # from the tokens of all ranks, so that all name the components alike
        tokens, weights = _gathered(tokens), _gathered(weights)
        means = farthest_tokens(tokens, weights, self.count.shape[1])
        centre = weighted_centre(tokens, weights)
        prior = self.prior.of_sets(1, tokens)
        near = starting_mixture(tokens - centre, weights, means - centre, self.covariance, prior)
        return near.moved(centre)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Update:
    """How the averages took a batch in; all of it constant."""

    before: Mixture
    averages: Statistics  # before
    batch: Statistics  # of all ranks
    own_count: Tensor  # (1, K) of this rank
    total: Tensor  # () tokens of the batch
    num_seen: Tensor  # () all tokens up to this batch
    step: float  # towards the batch's own averages; 0 if it has no token


def _towards(average: Tensor, batch: Tensor, local: Tensor, update: _Update) -> Tensor:
    """The average after a batch, with the gradient of this rank's share in it."""
    return torch.lerp(average, (batch + (local - local.detach())) / update.total, update.step)


def _within_backward() -> bool:
    """Whether this is computed again for a backward; torch says so nowhere in public."""
    return torch._C._current_graph_task_id() >= 0  # pyright: ignore[reportPrivateUsage]


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
    """The sum over ranks, a constant."""

    def summed(share: Tensor) -> Tensor:
        total = share.detach().clone()
        if _distributed():
            distributed.all_reduce(total)
        return total

    return Statistics(
        origin=local.origin,
        count=summed(local.count),
        first=summed(local.first),
        second=summed(local.second),
    )
