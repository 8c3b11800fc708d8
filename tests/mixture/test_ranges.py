"""Every argument of solvers, gradients, priors, fits and layers says what it must be, before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from support.sets import FAMILIES, name
from vkood.gating import KernelGate, OutlierLayer
from vkood.gating.gate import Gate
from vkood.gating.population import PopulationMixture
from vkood.mixture import (
    Diagonal,
    Full,
    Mixture,
    Prior,
    em_step,
    fit_mixture,
    gem,
    log_density,
    mahalanobis,
    map_objective,
    negative_log_density,
    responsibilities,
)
from vkood.solve import Anderson, Implicit, Neumann, Picard, Squarem, fixed_point

pytestmark = pytest.mark.usefixtures("unchecked")

NEVER: list[Any] = [math.nan, math.inf, -math.inf, -1, True, "1", None, [1], 1j]
NO_REAL = NEVER
NO_COUNT = [*NEVER, 0, 1.5, 2.0, 2**40]


def population(**options: Any) -> PopulationMixture:
    return PopulationMixture(
        **{"num_components": 2, "dim": 3, "covariance": Diagonal(), "prior": Prior(), **options}
    )


def layer(**options: Any) -> OutlierLayer:
    return OutlierLayer(**{"candidate_dim": 6, "context_dim": 5, "joint_dim": 4, **options})


def kernel(**options: Any) -> KernelGate:
    return KernelGate(**{"candidate_dim": 6, "context_dim": 5, "joint_dim": 4, **options})


def gate(**options: Any) -> Gate:
    return Gate(**{"threshold": 0.0, "temperature": 1.0, **options})


def fit(**options: Any) -> Any:
    return fit_mixture(torch.zeros(2, 5, 3), **options)


COUNTS: list[tuple[Callable[..., Any], str]] = [
    *((solver, "max_steps") for solver in (Picard, Squarem, Anderson, Implicit)),
    (Anderson, "history"),
    (Implicit, "history"),
    (Neumann, "terms"),
    (fit, "num_components"),
    *((layer, option) for option in ("candidate_dim", "num_components")),
    *((kernel, option) for option in ("candidate_dim", "context_dim", "joint_dim")),
    (population, "num_components"),
    (population, "dim"),
]
REALS: list[tuple[Callable[..., Any], str, list[Any]]] = [
    *((solver, "tolerance", []) for solver in (Picard, Squarem, Anderson, Implicit)),
    *((solver, "floor", [0]) for solver in (Picard, Squarem, Anderson)),
    (Picard, "damping", [1, 1.5]),
    (Squarem, "longest", [0, 0.5]),
    (Squarem, "growth", [0]),
    (Anderson, "regularization", [0]),
    (Anderson, "growth", [0, 1]),
    *((Prior, option, [0, 1e-60, 1e60]) for option in ("concentration", "variance", "variance_strength")),
    (Prior, "mean_strength", [0]),
    (kernel, "bandwidth", [0, 1e60]),
    (gate, "temperature", [0, 1e60]),
    (population, "decay", [0, 0.5, 1.5]),
]


@pytest.mark.parametrize(("make", "option"), COUNTS, ids=lambda value: getattr(value, "__name__", value))
def test_counts_are_whole_numbers_from_one(make, option):
    for value in NO_COUNT:
        with pytest.raises(ValueError, match=f"^`{option}` must be a whole number from 1 to .*; got "):
            make(**{option: value})
    make(**{option: 3})


@pytest.mark.parametrize(
    ("make", "option", "also"), REALS, ids=lambda value: getattr(value, "__name__", None) or str(value)
)
def test_numbers_are_finite_and_in_their_range(make, option, also):
    for value in [*NO_REAL, *also]:
        with pytest.raises(ValueError, match=f"^`{option}` must be a finite number .*; got "):
            make(**{option: value})


def test_a_layer_may_choose_the_width_of_its_joint_space():
    assert layer(joint_dim=None).joint.joint_dim == 64
    for value in (0, -1, 2.5, "4", True):
        with pytest.raises(ValueError, match=r"^`joint_dim` must be .*a whole number from 1 to .*; got "):
            layer(joint_dim=value)


def test_thresholds_may_be_below_zero_and_be_left_to_the_layer():
    for module in (gate(threshold=-1), layer(threshold=None), kernel(temperature=None)):
        assert module is not None
    for make in (gate, layer, kernel):
        for value in (math.nan, math.inf, True, "1"):
            with pytest.raises(ValueError, match=r"^`threshold` must be a finite number"):
                make(threshold=value)


@pytest.mark.parametrize("make", [layer, kernel])
def test_choices_are_named(make):
    for value in ("Soft", None, 1, ["soft"]):
        with pytest.raises(ValueError, match=r"^`gate` must be one of soft, hard, straight_through; got "):
            make(gate=value)
    for value in ("density", None, ["gem"]):
        with pytest.raises(
            ValueError, match=r"^`score` must be one of negative_log_density, gem, mahalanobis; "
        ):
            layer(score=value)


@pytest.mark.parametrize("make", [layer, fit])
def test_methods_are_instances(make):
    for option, kind in (
        ("family", "Family"),
        ("prior", "Prior"),
        ("solver", "Solver"),
        ("gradient", "Gradient"),
    ):
        for value in ("full", 1, {}):
            with pytest.raises(TypeError, match=f"^`{option}` must be of type {kind} or NoneType; got "):
                make(**{option: value})
    with pytest.raises(TypeError, match=r"`family` must be .*Call it: `Full\(\)`"):
        make(family=Full)
    for option in ("solver", "gradient"):
        with pytest.raises(TypeError, match=f"^`{option}` must be of type"):
            fixed_point(lambda x: x, torch.zeros(2, 1), **{option: "anderson"})
    with pytest.raises(TypeError, match=r"^`start` must be of type Tensor"):
        fixed_point(lambda x: x, [0.0])


def test_tensors_of_a_fit():
    tokens = torch.zeros(2, 5, 3)
    for call, error, words in (
        (lambda: fit_mixture([[[1.0]]]), TypeError, "`tokens` must be of type Tensor"),
        (
            lambda: fit_mixture(tokens.long()),
            ValueError,
            r"`tokens` must be of floating point; got torch.int64",
        ),
        (
            lambda: fit_mixture(tokens.bool()),
            ValueError,
            "`tokens` must be of floating point; got torch.bool",
        ),
        (
            lambda: fit_mixture(tokens.cfloat()),
            ValueError,
            "`tokens` must be of floating point; got torch.comp",
        ),
        (lambda: fit_mixture(tokens, [1.0]), TypeError, "`weights` must be of type Tensor or NoneType"),
        (
            lambda: fit_mixture(tokens, torch.ones(2, 5).cfloat()),
            ValueError,
            "`weights` must be real numbers",
        ),
        (lambda: fit(start=torch.zeros(2, 3).long()), ValueError, "`start` must be of floating point"),
        (lambda: fit(start=torch.full((2, 3), math.nan)), ValueError, "`start` must be finite"),
        (
            lambda: fit(prior=Prior(mean=torch.full((3,), math.inf))),
            ValueError,
            "the prior's `mean` must be finite",
        ),
        (
            lambda: fit(prior=Prior(mean=torch.zeros(7, 3))),
            ValueError,
            "the prior's `mean` must be for 2 sets",
        ),
        (
            lambda: fit(prior=Prior(mean_strength=torch.ones(2, 7))),
            ValueError,
            "the prior's `mean_strength` must be for 2 sets and 2 components",
        ),
        (
            lambda: fit(prior=Prior(mean_strength=torch.tensor(math.nan))),
            ValueError,
            "the prior's `mean_strength` must be positive and finite",
        ),
        (lambda: Prior(mean=0.0), TypeError, "`mean` must be of type Tensor or NoneType"),
        (
            lambda: Prior(mean=torch.zeros(3).long()),
            ValueError,
            "the prior's `mean` must be of floating point",
        ),
        (lambda: Prior(mean=torch.tensor(0.0)), ValueError, "the prior's `mean` must .* have 1 to 3 axes"),
        (
            lambda: Prior(mean_strength=torch.ones(1, 1, 1)),
            ValueError,
            "`mean_strength` must .* have 0 to 2 axes",
        ),
    ):
        with pytest.raises(error, match=words):
            call()
    whole, _ = fit_mixture(tokens, torch.tensor([[1, 2, 0, 1, 1]]).expand(2, 5))
    assert torch.isfinite(whole.mean).all()


@pytest.mark.parametrize("covariance", FAMILIES, ids=name)
def test_scores_ask_for_vectors_of_the_mixtures_sets(covariance):
    mixture, _ = fit_mixture(torch.zeros(2, 5, 3), family=covariance)
    ones, prior = torch.ones(2, 4), Prior()
    for score in (
        log_density,
        negative_log_density,
        gem,
        mahalanobis,
        responsibilities,
        lambda x, m, c: em_step(x, ones, m, c, prior),
        lambda x, m, c: map_objective(x, ones, m, c, prior),
    ):
        for shape in ((4, 3), (1, 4, 3), (2, 4, 2)):
            with pytest.raises(ValueError, match=r"vectors must be \(sets, vectors, dim\) = \(2, any, 3\)"):
                score(torch.zeros(shape), mixture, covariance)
        with pytest.raises(TypeError, match=r"`(family|covariance)` must be of type (Family|Covariance)"):
            score(torch.zeros(2, 4, 3), mixture, "diagonal")
        with pytest.raises(TypeError, match="`mixture` must be of type Mixture"):
            score(torch.zeros(2, 4, 3), (mixture.mean,), covariance)
    assert isinstance(mixture, Mixture)


def test_what_a_layer_is_called_with():
    outlier_layer = layer()
    facts, image = torch.zeros(2, 3, 6), torch.zeros(2, 4, 5)
    for call in (
        lambda: outlier_layer([1.0], context=image),
        lambda: outlier_layer(facts, context=[1.0]),
        lambda: outlier_layer(facts, context=image, candidate_mask=[True]),
        lambda: outlier_layer(facts, context=image, context_mask=[True]),
        lambda: outlier_layer(facts, context=image, start=[1.0]),
        lambda: kernel()(facts, [1.0]),
        lambda: outlier_layer.calibrate([1.0]),
    ):
        with pytest.raises(TypeError, match="must be of type Tensor"):
            call()
    for strength in (math.nan, math.inf, 0.0, -1.0):
        with pytest.raises(ValueError, match="`prior_strength` must be positive and finite"):
            outlier_layer(facts, context=image, prior_strength=torch.full((2,), strength))
    for keep_rate in (0, -1, 1.5, math.nan, True, "1"):
        with pytest.raises(ValueError, match="`keep_rate` must be a finite number above 0 to 1"):
            outlier_layer.calibrate(torch.zeros(3), keep_rate)
