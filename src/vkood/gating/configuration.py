"""A gate as a configuration, which a model saves and builds its gate from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from vkood.fields import (
    Choice,
    Optional,
    Rule,
    Whole,
    require_fields,
    shown,
)
from vkood.gating.conditioning import SteeringName, TextSteering
from vkood.gating.gate import BEGINNING_RULES, GateMode
from vkood.gating.joint_space import JOINT_DIM, JointName
from vkood.gating.kernel_gate import KernelGate
from vkood.gating.outlier_layer import OutlierLayer, ScoreName
from vkood.mixture import BackendName, Diagonal, Family, Full, Isotropic, Prior, Spherical, Tied
from vkood.mixture.backends import BACKEND_RULE
from vkood.mixture.params import STRENGTH, VARIANCE
from vkood.solve import Anderson, Gradient, Implicit, LastIterate, Neumann, Picard, Solver, Squarem, Unrolled
from vkood.spelling import require_known

# The first of each is the default.
_TYPES: dict[str, dict[str, type[Any]]] = {
    "family": {
        "spherical": Spherical,
        "diagonal": Diagonal,
        "isotropic": Isotropic,
        "tied": Tied,
        "full": Full,
    },
    "solver": {"squarem": Squarem, "anderson": Anderson, "picard": Picard},
    "gradient": {"last_iterate": LastIterate, "neumann": Neumann, "implicit": Implicit, "unrolled": Unrolled},
}
# Of a solver that names neither: a gate needs no more digits, in a bounded time.
_SOLVER_BUDGET: dict[str, Any] = {"tolerance": 1e-3, "max_steps": 30}
_WIDTH = Whole(1, 65_536)


@dataclass(frozen=True, kw_only=True)
class GateConfig:
    """How facts are gated: the options of `OutlierLayer` or `KernelGate`.

    `family`, `solver` and `gradient` may also be `{"type": name, **fields}`, as in JSON, or a name alone:
    "spherical", "diagonal", "isotropic", "tied" or "full"; "squarem", "anderson" or "picard"; "last_iterate",
    "neumann", "implicit" or "unrolled". A solver's `tolerance` is then 1e-3 if it names none, and its `max_steps` 30.

    Attributes:
        kind: "mixture" for the outlier layer, "kernel" for the kernel gate, "none" to let all facts through.
        joint_dim: Width of the joint space; None for 64, or for the vectors' own where `joint` is "identity".
        num_components: Components of each mixture.
        joint: How facts and image tokens come into the joint space: "separate", "shared" or "identity".
        family: The family of mixtures; the concentration of `Spherical` is learnt from its `kappa`.
        solver: How EM is iterated.
        gradient: How gradients pass through the fit.
        score: "negative_log_density", "gem" or "mahalanobis".
        mode: "soft", "hard" or "straight_through".
        inference: The same in eval, None for no change; "hard" once the threshold is calibrated.
        variance: The prior's variance, that is, the bandwidth; for the kernel gate the kernels' variance.
        variance_strength: Number of tokens that this variance counts as.
        concentration: Tokens that the prior adds to each component.
        mean_strength: Tokens with which the prior pulls the means to the origin.
        threshold: Score at which the gate is half open at first; None for the layer's own, which begins open.
        temperature: Steepness of the gate at first; None for the layer's own.
        steering: What each text decides of the fit: "none"; the image tokens' "weights"; the "prior" of the
            components' means, as strong as `mean_strength` says; or "weights_and_prior". The kernel gate has
            no prior. If not "none", there is a fit for each text rather than for each image.
        backend: "torch", "numba" or "triton" to force what computes fits and scores; None to choose for each call.

    Example:
        >>> config = GateConfig.from_dict({"solver": {"type": "anderson", "history": 3}})
        >>> config.solver.history, config.to_dict()["solver"]["type"]
        (3, 'anderson')
        >>> GateConfig(solver="anderson").solver.max_steps
        30
    """

    # Values may come from JSON, so they are checked below, whatever the annotations promise.
    __no_type_check__ = True

    kind: Literal["mixture", "kernel", "none"] = "mixture"
    joint_dim: int | None = None
    num_components: int = 1
    joint: JointName = "separate"
    family: Family = field(default_factory=Spherical)
    solver: Solver = field(default_factory=lambda: Squarem(**_SOLVER_BUDGET))
    gradient: Gradient = field(default_factory=LastIterate)
    score: ScoreName = "negative_log_density"
    mode: GateMode = "soft"
    inference: GateMode | None = None
    variance: float = 1.0
    variance_strength: float = 1.0
    concentration: float = 1.0
    mean_strength: float = 0.1
    threshold: float | None = None
    temperature: float | None = None
    steering: SteeringName = "none"
    backend: BackendName | None = None

    def __post_init__(self) -> None:
        """Check names and numbers, and make objects of names and dictionaries."""
        require_fields(vars(self), _RULES)
        for name in _TYPES:
            object.__setattr__(self, name, _record(name, getattr(self, name)))
        if self.kind == "kernel" and self.steering not in ("none", "weights"):
            raise ValueError(
                'the `steering` of a kernel gate must be "none" or "weights", since it has no prior; '
                f"got {self.steering!r}."
            )
        if self.kind == "kernel" and self.joint != "separate":
            raise ValueError(f'the `joint` of a kernel gate must be "separate"; got {self.joint!r}.')
        if isinstance(self.family, Spherical) and not isinstance(self.family.kappa, int | float):
            raise ValueError(
                "the `kappa` of a configuration's `Spherical` must be a number, which JSON can hold; got a tensor. The "
                "layer learns its concentration from there."
            )

    @classmethod
    def from_dict(cls, values: Any) -> GateConfig:
        """The configuration from values of JSON or a command line; None for all defaults.

        Raises:
            ValueError: There is an unknown option, or one has a value that cannot be.
        """
        if isinstance(values, cls):
            return values
        if values is not None and not isinstance(values, Mapping):
            raise ValueError(f"`gate` must have named options, as `GateConfig` has them; got {values!r}.")
        options: dict[str, Any] = dict(values or {})  # pyright: ignore[reportUnknownArgumentType] (checked below)
        require_known(
            options, [option.name for option in fields(cls)], "`gate` must have options of `GateConfig`"
        )
        try:
            return cls(**options)
        except (TypeError, ValueError) as error:
            raise ValueError(f"`gate`: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """The configuration in values of JSON."""
        return vars(self) | {name: _as_dict(name, getattr(self, name)) for name in _TYPES}

    def build(self, candidate_dim: int, context_dim: int) -> OutlierLayer | KernelGate | None:
        """The layer, for facts and image tokens of the given widths; None for the kind "none"."""
        if self.kind == "none":
            return None
        if self.kind == "kernel":
            return KernelGate(
                candidate_dim,
                context_dim,
                self.joint_dim or JOINT_DIM,
                bandwidth=self.variance,
                gate=self.mode,
                inference=self.inference,
                threshold=self.threshold,
                temperature=self.temperature,
            )
        return OutlierLayer(
            candidate_dim,
            context_dim,
            self.joint_dim,
            self.num_components,
            joint=self.joint,
            family=self.family,
            prior=Prior(
                concentration=self.concentration,
                mean_strength=self.mean_strength,
                variance=self.variance,
                variance_strength=self.variance_strength,
            ),
            solver=self.solver,
            gradient=self.gradient,
            score=self.score,
            gate=self.mode,
            inference=self.inference,
            threshold=self.threshold,
            temperature=self.temperature,
            backend=self.backend,
        )

    def build_steering(self, text_dim: int, image_dim: int) -> TextSteering | None:
        """What steers the layer, for text and image tokens of the given widths; None if nothing does."""
        if self.kind == "none" or self.steering == "none":
            return None
        width = image_dim if self.joint == "identity" else self.joint_dim or JOINT_DIM
        return TextSteering(text_dim, image_dim, width, self.num_components, self.steering)


_RULES: dict[str, Rule] = {
    "kind": Choice(("mixture", "kernel", "none")),
    "joint_dim": Optional(_WIDTH),
    "joint": Choice(get_args(JointName)),
    "num_components": _WIDTH,
    "score": Choice(get_args(ScoreName)),
    "mode": Choice(get_args(GateMode)),
    "inference": Optional(Choice(get_args(GateMode))),
    "variance": VARIANCE,
    "variance_strength": STRENGTH,
    "concentration": STRENGTH,
    "mean_strength": STRENGTH,
    **BEGINNING_RULES,
    "steering": Choice(get_args(SteeringName)),
    "backend": BACKEND_RULE,
}


def _record(name: str, value: Any) -> Any:
    """The object of `{"type": name, **fields}`, or of a name alone; an object stays itself."""
    types = _TYPES[name]
    if isinstance(value, tuple(types.values())):
        return value
    options: dict[str, Any] = dict(value) if isinstance(value, Mapping) else {"type": value}  # pyright: ignore[reportUnknownArgumentType] (checked below)
    kind = options.pop("type", next(iter(types)))
    if not isinstance(kind, str) or kind not in types:
        raise ValueError(
            f"`{name}` must be one of {', '.join(types)}, with or without fields; got {shown(kind)}."
        )
    known = [option.name for option in fields(types[kind])]
    require_known(options, known, f"`{name}` must have fields of `{types[kind].__name__}`")
    try:
        return types[kind](**((_SOLVER_BUDGET if name == "solver" else {}) | options))
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}`: {error}") from error


def _as_dict(name: str, record: Any) -> dict[str, Any]:
    (kind,) = [known for known, cls in _TYPES[name].items() if type(record) is cls]
    return {"type": kind} | {option.name: getattr(record, option.name) for option in fields(record)}
