"""The EM step of small sets on the CPU in NumPy, with its gradient by hand.

There a step is forty operations on a few thousand numbers, and what it costs is the calls: NumPy's take a third
of the time of torch's, and its matrix products of a few rows half of it. It is the map of `em.py`, which a test
holds it to, values and gradients.

Legend: B sets, M tokens, K components, D dimensions, P features [x*x, x, 1].
"""

# What NumPy returns of arrays of any type is unknown to the type checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vkood.mixture import host
from vkood.mixture.params import Mixture, Prior
from vkood.solve import Solver, Squarem
from vkood.solve.arrays import HostArray
from vkood.solve.iteration import Outcome

_Parts = tuple[HostArray, HostArray, HostArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStep:
    """The step, on states (B, n) that are the parameters of a mixture side by side.

    Its operands are the tokens (B, M, D), their weights (B, M), and the prior's mean (B, 1 or K, D) and strength
    (B, 1 or K). Called with NumPy arrays, and the tokens' features in their place, it is the plain step.

    Attributes:
        num_components: K.
        prior: What else the prior says.
    """

    num_components: int
    prior: Prior

    def prepared(self, *operands: HostArray) -> tuple[HostArray, ...]:
        """The operands, with the features of the tokens in their place."""
        tokens, *others = operands
        return _features(tokens), *others

    def __call__(self, state: HostArray, *prepared: HostArray) -> HostArray:
        """The state after a step."""
        return self._step(state, *prepared)[0]

    def solved(self, start: HostArray, operands: tuple[HostArray, ...], solver: Solver) -> Outcome | None:
        """The outcome of the compiled loop, where there is one."""
        fused = host.compiled()
        if fused is None or type(solver) is not Squarem:
            return None
        return fused.squarem_em(start, operands, self.prior, solver)

    def following(self, state: HostArray, *operands: HostArray) -> tuple[HostArray, ...]:
        """The state after a step, compiled where it can be, and what `gradient` wants of it."""
        fused = host.compiled()
        if fused is not None:
            return fused.em_step(state, operands, self.prior)
        with np.errstate(all="ignore"):  # what is not finite stays to its set
            prepared = self.prepared(*operands)
            return *self._step(state, *prepared), prepared[0]

    def gradient(
        self, arrived: HostArray, given: tuple[HostArray, ...], found: tuple[HostArray, ...]
    ) -> tuple[HostArray, ...]:
        """Gradients of state and operands, `given`, from that of the state after the step, which `found` it."""
        fused = host.compiled()
        if fused is not None:
            return fused.em_gradient(arrived, given, found, self.prior)
        with np.errstate(all="ignore"):
            return self._gradient(arrived, given, found)

    def differentiable(self, value: tuple[Tensor, ...], *operands: Tensor) -> tuple[Tensor, ...]:
        """The same on a tensor, alone in a tuple, with gradients to the state and to all operands."""
        following: Tensor = _Differentiable.apply(self, *value, *operands)  # pyright: ignore[reportAssignmentType] (untyped in torch)
        return (following,)

    def packed(self, mixture: Mixture) -> Tensor:
        """A mixture as states."""
        parts = (mixture.log_weight, mixture.mean.flatten(1), mixture.log_scale.flatten(1))
        return torch.cat(parts, dim=1)

    def unpacked(self, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """States as (log_weight, mean, log_scale)."""
        split = self.num_components * (1 + self._dim(state))
        mean, log_scale = state[:, self.num_components : split], state[:, split:]
        shape = (self.num_components, self._dim(state))
        return state[:, : self.num_components], mean.unflatten(1, shape), log_scale.unflatten(1, shape)

    def _step(
        self,
        state: HostArray,
        features: HostArray,
        weights: HostArray,
        prior_mean: HostArray,
        strength: HostArray,
    ) -> tuple[HostArray, HostArray, HostArray]:
        """The state after a step, with shares (B, K, M) and sums (B, K, P) for its gradient."""
        coefficients = _coefficients(*self._parts(state))
        shares = np.matmul(coefficients, features.transpose(0, 2, 1))
        shares -= _across(np.maximum, shares)
        np.exp(shares, out=shares)
        shares *= 1 / _across(np.add, shares)
        sums = np.matmul(shares * weights[:, None], features)
        following = np.empty(state.shape, state.dtype)
        self._maximize(sums, prior_mean, strength[..., None], self._parts(following))
        return following, shares, sums

    def _gradient(
        self, arrived: HostArray, given: tuple[HostArray, ...], found: tuple[HostArray, ...]
    ) -> tuple[HostArray, ...]:
        state, tokens, weights, *prior = given
        following, shares, sums, features = found
        to_sums, *to_prior = self._back_to_sums(arrived, following, sums, *prior)
        along = np.matmul(to_sums, features.transpose(0, 2, 1))  # (B, K, M)
        to_weights = np.add.reduce(along * shares, 1)
        weighted = shares * weights[:, None]
        along *= weighted
        along -= shares * np.add.reduce(along, 1, keepdims=True)  # of the logits
        to_state = self._back_to_state(np.matmul(along, features), state)
        both = np.concatenate([weighted, along], 1).transpose(0, 2, 1)  # (B, M, 2K)
        to_squares, to_linear, _ = _moments(np.concatenate([to_sums, _coefficients(*self._parts(state))], 1))
        to_tokens = np.matmul(both, to_squares)
        to_tokens *= tokens
        to_tokens *= 2
        to_tokens += np.matmul(both, to_linear)
        return to_state, to_tokens, to_weights, *to_prior

    def _maximize(
        self, sums: HostArray, prior_mean: HostArray, strength: HostArray, following: _Parts
    ) -> None:
        """Write the parameters that follow from the sums, the prior's mean counted as `strength` more tokens.

        With those the scatter, and the pull towards the prior's mean in it, is `second - first * mean`.
        """
        log_weight, mean, log_scale = following
        second, first, count = _moments(sums)
        pull = strength * prior_mean
        first = first + pull
        np.divide(first, count + strength, out=mean)
        first *= mean
        scale = np.subtract(second, first, out=first)
        pull *= prior_mean
        floor = self.prior.variance_strength * self.prior.variance
        pull += floor
        scale += pull
        np.maximum(scale, floor, out=scale)
        scale /= count + self.prior.variance_strength
        np.log(scale, out=log_scale)
        counted = count[..., 0] + self.prior.concentration
        counted /= np.add.reduce(counted, -1, keepdims=True)
        np.log(counted, out=log_weight)

    def _back_to_sums(
        self, arrived: HostArray, following: HostArray, sums: HostArray, *prior: HostArray
    ) -> tuple[HostArray, HostArray, HostArray]:
        """Gradients of sums, prior mean and strength from that of the state after the step."""
        prior_mean, strength = prior[0], prior[1][..., None]
        to_log_weight, to_mean, to_log_scale = self._parts(arrived)
        _, mean, log_scale = self._parts(following)
        _, first, count = _moments(sums)
        first = first + strength * prior_mean
        beyond = count + self.prior.variance_strength
        scale = np.exp(log_scale) * beyond
        floor = self.prior.variance_strength * self.prior.variance
        to_scale = np.where(scale > floor, to_log_scale / scale, 0.0)
        to_mean = to_mean - to_scale * first
        to_first = to_mean / (count + strength)
        to_counted = -np.add.reduce(to_first * mean, -1)  # of count + strength
        to_first -= to_scale * mean

        to_sums = np.empty_like(sums)
        to_second, to_linear, to_count = _moments(to_sums)
        to_second[...], to_linear[...] = to_scale, to_first
        counted = count[..., 0] + self.prior.concentration
        shared = np.add.reduce(to_log_weight, -1, keepdims=True) / np.add.reduce(counted, -1, keepdims=True)
        to_count[..., 0] = to_log_weight / counted - shared + to_counted
        to_count[..., 0] -= np.add.reduce(to_log_scale, -1) / beyond[..., 0]
        to_prior = strength * (to_first + 2 * prior_mean * to_scale)
        to_strength = np.add.reduce(prior_mean * (to_first + prior_mean * to_scale), -1) + to_counted
        return to_sums, _reduced(to_prior, prior_mean), _reduced(to_strength, prior[1])

    def _back_to_state(self, to_coefficients: HostArray, state: HostArray) -> HostArray:
        """The gradient of the state from that of the coefficients."""
        _, mean, log_scale = self._parts(state)
        precision = np.exp(-log_scale)
        to_state = np.empty_like(state, order="C")
        to_log_weight, to_mean, to_log_scale = self._parts(to_state)
        to_squares, to_linear, to_constant = _moments(to_coefficients)
        to_log_weight[...] = to_constant[..., 0]
        to_linear = to_linear - 0.5 * to_constant * mean
        to_mean[...] = precision * (to_linear - 0.5 * to_constant * mean)
        to_log_scale[...] = -precision * (to_linear * mean - 0.5 * to_squares) - 0.5 * to_constant
        return to_state

    def _dim(self, state: Any) -> int:
        return (state.shape[1] // self.num_components - 1) // 2

    def _parts(self, state: HostArray) -> _Parts:
        """Views of log_weight (B, K), mean and log_scale (B, K, D)."""
        dim = self._dim(state)
        split = self.num_components * (1 + dim)
        shape = (len(state), self.num_components, dim)
        mean, log_scale = state[:, self.num_components : split], state[:, split:]
        return state[:, : self.num_components], mean.reshape(shape), log_scale.reshape(shape)


def _features(tokens: HostArray) -> HostArray:
    features = np.empty((*tokens.shape[:2], 2 * tokens.shape[2] + 1), tokens.dtype)
    squares, linear, constant = _moments(features)
    np.square(tokens, out=squares)
    linear[...], constant[...] = tokens, 1
    return features


def _moments(sums: HostArray) -> _Parts:
    """Views of what belongs to x*x, x (B, K, D) and 1 (B, K, 1)."""
    dim = sums.shape[-1] // 2
    return sums[..., :dim], sums[..., dim:-1], sums[..., -1:]


def _coefficients(log_weight: HostArray, mean: HostArray, log_scale: HostArray) -> HostArray:
    """(B, K, P): of the logarithm of weight times density, up to a constant for each set."""
    coefficients = np.empty((*log_weight.shape, 2 * mean.shape[-1] + 1), mean.dtype)
    squares, linear, constant = _moments(coefficients)
    precision = np.negative(log_scale)
    np.exp(precision, out=precision)
    np.multiply(precision, -0.5, out=squares)
    np.multiply(precision, mean, out=linear)
    spread = np.einsum("bkd,bkd->bk", linear, mean)
    spread += np.add.reduce(log_scale, -1)
    spread *= -0.5
    np.add(log_weight, spread, out=constant[..., 0])
    return coefficients


def _across(of_two: np.ufunc, values: HostArray) -> HostArray:
    """What `of_two.reduce` over the few components (B, K, M) gives, (B, 1, M), in a fourth of the time."""
    found = values[:, 0]
    for component in range(1, values.shape[1]):
        found = of_two(found, values[:, component])
    return found[:, None]


def _reduced(gradient: HostArray, like: HostArray) -> HostArray:
    """The gradient of what was the same for all components."""
    return gradient if gradient.shape == like.shape else np.add.reduce(gradient, 1, keepdims=True)


class _Differentiable(torch.autograd.Function):
    """`HostStep` on tensors."""

    @staticmethod
    def forward(ctx: Any, step: HostStep, *given: Tensor) -> Tensor:
        found = [torch.from_numpy(array) for array in step.following(*(tensor.numpy() for tensor in given))]
        ctx.step, ctx.num_given = step, len(given)
        ctx.save_for_backward(*given, *found)
        return found[0]

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (torch passes as many as forward returns)
        ctx: Any, gradient: Tensor
    ) -> tuple[Tensor | None, ...]:
        step: HostStep = ctx.step
        saved: tuple[HostArray, ...] = tuple(tensor.numpy() for tensor in ctx.saved_tensors)
        needed: tuple[bool, ...] = ctx.needs_input_grad[1:]
        found = step.gradient(gradient.numpy(), saved[: ctx.num_given], saved[ctx.num_given :])
        gradients = (
            torch.from_numpy(array) if need else None for need, array in zip(needed, found, strict=True)
        )
        return None, *gradients
