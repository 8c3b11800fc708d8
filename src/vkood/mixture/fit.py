"""Fit a mixture to each weighted set of a batch, inside a forward pass."""

# What torch.linalg and some methods of tensors return is unknown to the type checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import replace
from types import NoneType

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vkood.fields import Whole, require_fields, require_kind
from vkood.mixture.backends import BackendName, solve_fit
from vkood.mixture.families.base import Family, FixedPointProblem, Parameters
from vkood.mixture.families.gaussian import Diagonal
from vkood.mixture.graph_operator import solve_in_graph
from vkood.mixture.params import Mixture, Prior
from vkood.solve import Gradient, LastIterate, Solution, Solver, Squarem, Status
from vkood.solve.eager import looks_at_values
from vkood.solve.precision import full_precision

# Squared extrapolation was made for EM. On sets with overlapping clusters it halves the steps of the slowest
# row, and unlike Anderson acceleration it copes with the long way from the start, where responsibilities
# still change sides.
DEFAULT_SOLVER = Squarem(tolerance=1e-4, max_steps=100)
_DEFAULT_FAMILY = Diagonal()

# How many times the prior's a set's weight may be. A component on a single token has the prior's variance over its
# weight, and gradients the inverse of that: beyond this they leave the range of their type.
_MAX_WEIGHT = 1e12
_MAX_WEIGHT_IN_HALF = 1e5


def fit_mixture(
    tokens: Float[Tensor, "sets tokens dim"],
    weights: Float[Tensor, "sets tokens"] | Bool[Tensor, "sets tokens"] | None = None,
    *,
    num_components: int = 2,
    family: Family | None = None,
    prior: Prior | None = None,
    start: Float[Tensor, "#sets components dim"] | Float[Tensor, "components dim"] | None = None,
    solver: Solver | None = None,
    gradient: Gradient | None = None,
    backend: BackendName | None = None,
) -> tuple[Mixture, Solution[tuple[Tensor, ...]]]:
    """Fit a mixture to each weighted set of a batch, and let gradients pass to tokens, weights and prior.

    Args:
        tokens: (sets, tokens, dim). Any number of tokens, none included: the prior then decides.
        weights: (sets, tokens) weight of each token, at least 0; boolean masks count as 0 and 1. All 1
            if None.
        num_components: Number of components of each mixture.
        family: Gaussians with the covariance `Diagonal` (the default), `Isotropic`, `Tied` or `Full`; or `Spherical`,
            for tokens of which the direction counts.
        prior: The conjugate prior; `Prior()` if None.
        start: Means to start from, (components, dim) or (sets, components, dim); by default tokens far apart, or
            for `Spherical` the densest ones.
        solver: How to iterate EM; squared extrapolation to a tolerance of 1e-4 if None.
        gradient: How gradients pass through the fit; `LastIterate()` if None.
        backend: "torch", "numba" or "triton" to force what computes the fit; `choose_backend` says what None means.
            Fits by the latter two have first derivatives only.

    Returns:
        The mixtures, and how each solve went. A set with NaN or infinity in a token of positive weight has
        the status `NOT_FINITE`; the others are not affected. So has a set for which `Tied` or `Full` find no
        positive definite matrix even in float64: its squared spread is more than some 1e12 times the prior's
        `variance`, or 1e15 times divided by its weight.

    Raises:
        TypeError: An argument is of the wrong type.
        ImportError: Numba is forced, but is not installed.
        ValueError: A shape does not fit, the forced back end cannot fit such tokens, or a number is out of its range:
            weights that are negative, NaN, or beyond 1e12 (1e5 for float16 tokens) times the prior's
            `variance_strength` in sum, starts or prior means that are not finite.

    Example:
        >>> import torch
        >>> tokens = torch.tensor([[[0.0], [0.2], [4.8], [5.0]]])
        >>> prior = Prior(variance=0.1, mean_strength=1e-3)
        >>> mixture, solution = fit_mixture(tokens, prior=prior)
        >>> sorted(round(mean, 1) for mean in mixture.mean.flatten().tolist())
        [0.1, 4.9]
    """
    require_method(family, prior, solver, gradient)
    family, prior = family or _DEFAULT_FAMILY, prior or Prior()
    _check(tokens, weights, num_components, prior, start)
    result = torch.promote_types(tokens.dtype, torch.float32)
    tokens = tokens.to(family.working_dtype(result))
    with full_precision(tokens.device):
        if start is not None:
            start = start.to(tokens.dtype).expand(len(tokens), num_components, tokens.shape[-1])
        problem = family.problem(tokens, weights, prior, num_components, start)
        solver, gradient = solver or DEFAULT_SOLVER, gradient or LastIterate()
        solve = solve_fit
        if (torch.compiler.is_compiling() or tokens.is_meta) and isinstance(gradient, LastIterate):
            solve = solve_in_graph
        if problem.constant:
            solution = _one_step(problem, family)
        else:
            solution = solve(problem.start, problem.operands, family, solver, gradient, backend)
        mixture = problem.mixture(solution.value).to(result)
    return mixture, replace(
        solution,
        value=mixture.parameters,
        residual=solution.residual.to(result),
        trace=solution.trace.to(result),
    )


def _one_step(problem: FixedPointProblem, family: Family) -> Solution[Parameters]:
    """The fixed point of a step that does not depend on where it begins; all rules give its exact gradient."""
    tokens, *others = problem.operands
    finite = torch.isfinite(tokens).all(2).all(1)
    # sets that failed have no part in the step: 0 * NaN is NaN in a backward
    value = family.step(problem.start, torch.where(finite[:, None, None], tokens, 0.0), *others)
    moved = tokens.new_zeros(len(tokens)).masked_fill(~finite, torch.inf)
    return Solution(
        value=value,
        status=torch.where(finite, int(Status.CONVERGED), int(Status.NOT_FINITE)),
        steps=torch.ones_like(finite, dtype=torch.long),
        residual=moved,
        trace=moved[:, None],
    )


def require_method(
    family: Family | None, prior: Prior | None, solver: Solver | None, gradient: Gradient | None
) -> None:
    """Refuse what is of the wrong type among the options of a fit.

    Raises:
        TypeError: Says which one.
    """
    require_kind("family", family, (Family, NoneType))
    require_kind("prior", prior, (Prior, NoneType))
    require_kind("solver", solver, (Solver, NoneType))
    require_kind("gradient", gradient, (Gradient, NoneType))


def _check(
    tokens: Tensor, weights: Tensor | None, num_components: int, prior: Prior, start: Tensor | None
) -> None:
    require_kind("tokens", tokens, Tensor)
    require_kind("weights", weights, (Tensor, NoneType))
    require_kind("start", start, (Tensor, NoneType))
    require_fields({"num_components": num_components}, {"num_components": Whole()})
    if tokens.dim() != 3:
        raise ValueError(
            f"`tokens` must be (sets, tokens, dim); got {tuple(tokens.shape)}. "
            "Add a sets axis with `tokens[None]`."
        )
    for name, values in (("tokens", tokens), ("start", start)):
        if values is not None and not values.is_floating_point():
            raise ValueError(
                f"`{name}` must be of floating point; got {values.dtype}. Convert: `{name}.float()`."
            )
    if weights is not None and weights.shape != tokens.shape[:2]:
        raise ValueError(
            f"`weights` must be (sets, tokens) = {tuple(tokens.shape[:2])}; got {tuple(weights.shape)}."
        )
    if weights is not None and weights.is_complex():
        raise ValueError(f"`weights` must be real numbers; got {weights.dtype}.")
    if prior.mean is not None and prior.mean.shape[-1] != tokens.shape[-1]:
        raise ValueError(
            f"the prior's `mean` must have the tokens' {tokens.shape[-1]} dimensions; "
            f"got {tuple(prior.mean.shape)}."
        )
    means = (num_components, tokens.shape[-1])
    if start is not None and tuple(start.shape) not in (means, (1, *means), (len(tokens), *means)):
        raise ValueError(
            f"`start` must be (components, dim) = {means}, with or without a sets axis; "
            f"got {tuple(start.shape)}."
        )
    for name, values in (("mean", prior.mean), ("mean_strength", prior.mean_strength)):
        axes = values.shape[: values.dim() - (name == "mean")] if isinstance(values, Tensor) else ()
        allowed = ((1, len(tokens)), (1, num_components))
        if any(size not in sizes for size, sizes in zip(axes, allowed, strict=False)):
            raise ValueError(
                f"the prior's `{name}` must be for {len(tokens)} sets and {num_components} components; "
                f"got the shape {tuple(axes)} before its dimensions."
            )
    if looks_at_values(tokens):
        _check_values(tokens, weights, prior, start)


def _check_values(tokens: Tensor, weights: Tensor | None, prior: Prior, start: Tensor | None) -> None:
    for name, values in (("`start`", start), ("the prior's `mean`", prior.mean)):
        if values is not None and not bool(torch.isfinite(values).all()):
            raise ValueError(f"{name} must be finite; it has NaN or infinity.")
    strength = prior.mean_strength
    if isinstance(strength, Tensor) and not bool(((strength > 0) & (strength < torch.inf)).all()):
        raise ValueError("the prior's `mean_strength` must be positive and finite; some is not.")
    if weights is None or weights.dtype == torch.bool:
        return
    if not bool((weights >= 0).all()):
        raise ValueError("`weights` must be at least 0; some are negative or NaN.")
    max_weight = prior.variance_strength * (
        _MAX_WEIGHT_IN_HALF if tokens.dtype == torch.float16 else _MAX_WEIGHT
    )
    heaviest = float(weights.detach().sum(1, dtype=torch.float64).amax()) if weights.numel() else 0.0
    if heaviest > max_weight:
        raise ValueError(
            f"`weights` must sum to at most {max_weight:.0e} in a set of {tokens.dtype}, since rounding would leave "
            f"nothing of the prior's `variance_strength`, {prior.variance_strength:g}; got {heaviest:.3g}. "
            "Divide them by a constant."
        )
