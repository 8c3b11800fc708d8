"""The configuration of the two-stream family: its towers, its fusion, and its gate."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from transformers import AutoConfig, PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from vkood.fields import Choice, Flag, Optional, Real, Rule, Whole, require_fields
from vkood.gating import KernelGate, OutlierLayer
from vkood.gating.conditioning import SteeringName, TextSteering
from vkood.gating.gate import GateMode
from vkood.gating.outlier_layer import ScoreName
from vkood.mixture import Covariance, Diagonal, Full, Prior, Spherical, Tied
from vkood.models.fields import (
    MAX_HEADS,
    MAX_LABELS,
    MAX_LAYERS,
    MAX_WIDTH,
    Labels,
    reason,
    require_plausible,
)
from vkood.models.labelled import NOT_PREDICTIONS
from vkood.models.towers import ClipLayers
from vkood.solve import Anderson, Gradient, Implicit, LastIterate, Neumann, Picard, Solver, Squarem, Unrolled
from vkood.spelling import nearest

_COVARIANCES: dict[str, type[Covariance]] = {
    "diagonal": Diagonal,
    "spherical": Spherical,
    "tied": Tied,
    "full": Full,
}
_SOLVERS: dict[str, type[Solver]] = {"picard": Picard, "anderson": Anderson, "squarem": Squarem}
_GRADIENTS: dict[str, type[Gradient]] = {
    "last_iterate": LastIterate,
    "neumann": Neumann,
    "implicit": Implicit,
    "unrolled": Unrolled,
}


NUM_ANSWERS = 3129
"""Answers that occur at least nine times in VQAv2's training and validation questions."""


@dataclass(frozen=True, kw_only=True)
class GateConfig:
    """How facts are gated: the options of `OutlierLayer` or `KernelGate` as plain values that fit into JSON.

    Attributes:
        kind: "mixture" for the outlier layer, "kernel" for the kernel gate, "none" to let all facts through.
        joint_dim: Width of the joint space.
        num_components: Components of each mixture.
        covariance: "diagonal", "spherical", "tied" or "full".
        solver: "squarem", "anderson" or "picard".
        tolerance: Relative residual at which a fit has converged.
        max_steps: EM steps that a fit may take.
        gradient: "last_iterate", "neumann", "implicit" or "unrolled", with their default options.
        score: "negative_log_density", "gem" or "mahalanobis".
        mode: "soft", "hard" or "straight_through".
        variance: The prior's variance, that is, the bandwidth; for the kernel gate the kernels' variance.
        variance_strength: How many tokens that variance counts as.
        concentration: Tokens that the prior adds to each component.
        mean_strength: Tokens with which the prior pulls the means to the origin.
        threshold: Score at which the gate is half open at first; None for that of a random direction.
        temperature: Steepness of the gate at first; None for the layer's own.
        steering: What each text decides of the fit: "none"; the image tokens' "weights"; the "prior" of the
            components' means, as strong as `mean_strength` says; or "weights_and_prior". The kernel gate has
            no prior. If not "none", there is a fit for each text rather than for each image.
    """

    # Values come from JSON files, so they are checked below, whatever the annotations promise.
    __no_type_check__ = True

    kind: Literal["mixture", "kernel", "none"] = "mixture"
    joint_dim: int = 64
    num_components: int = 2
    covariance: Literal["diagonal", "spherical", "tied", "full"] = "diagonal"
    solver: Literal["anderson", "squarem", "picard"] = "squarem"
    tolerance: float = 1e-3
    max_steps: int = 30
    gradient: Literal["last_iterate", "neumann", "implicit", "unrolled"] = "last_iterate"
    score: ScoreName = "negative_log_density"
    mode: GateMode = "soft"
    variance: float = 1.0
    variance_strength: float = 1.0
    concentration: float = 1.0
    mean_strength: float = 0.1
    threshold: float | None = None
    temperature: float | None = None
    steering: SteeringName = "none"

    def __post_init__(self) -> None:
        """Check names and numbers."""
        require_fields(vars(self), _GATE_RULES)
        if self.kind == "kernel" and self.steering not in ("none", "weights"):
            raise ValueError(
                'the `steering` of a kernel gate must be "none" or "weights", since it has no prior; '
                f"got {self.steering!r}."
            )

    def build(self, candidate_dim: int, context_dim: int) -> OutlierLayer | KernelGate | None:
        """The layer, for facts and image tokens of the given widths; None for the kind "none"."""
        if self.kind == "none":
            return None
        if self.kind == "kernel":
            return KernelGate(
                candidate_dim,
                context_dim,
                self.joint_dim,
                bandwidth=self.variance,
                gate=self.mode,
                threshold=self.threshold,
                temperature=self.temperature,
            )
        return OutlierLayer(
            candidate_dim,
            context_dim,
            self.joint_dim,
            self.num_components,
            family=_COVARIANCES[self.covariance](),
            prior=Prior(
                concentration=self.concentration,
                mean_strength=self.mean_strength,
                variance=self.variance,
                variance_strength=self.variance_strength,
            ),
            solver=_SOLVERS[self.solver](tolerance=self.tolerance, max_steps=self.max_steps),
            gradient=_GRADIENTS[self.gradient](),
            score=self.score,
            gate=self.mode,
            threshold=self.threshold,
            temperature=self.temperature,
        )

    def build_steering(self, text_dim: int, image_dim: int) -> TextSteering | None:
        """What steers the layer, for text and image tokens of the given widths; None if nothing does."""
        if self.kind == "none" or self.steering == "none":
            return None
        return TextSteering(text_dim, image_dim, self.joint_dim, self.num_components, self.steering)


_POSITIVE = Real(0, above=True)
_GATE_RULES: dict[str, Rule] = {
    "kind": Choice(("mixture", "kernel", "none")),
    "joint_dim": Whole(1, MAX_WIDTH),
    "num_components": Whole(1, MAX_WIDTH),
    "covariance": Choice(tuple(_COVARIANCES)),
    "solver": Choice(tuple(_SOLVERS)),
    "tolerance": Real(0),
    "max_steps": Whole(),
    "gradient": Choice(tuple(_GRADIENTS)),
    "score": Choice(get_args(ScoreName)),
    "mode": Choice(get_args(GateMode)),
    "variance": _POSITIVE,
    "variance_strength": _POSITIVE,
    "concentration": _POSITIVE,
    "mean_strength": _POSITIVE,
    "threshold": Optional(Real()),
    "temperature": Optional(_POSITIVE),
    "steering": Choice(get_args(SteeringName)),
}


def gate_options(values: Any) -> dict[str, Any]:
    """The options of a gate, as a configuration's `gate` has them, checked and with defaults filled in.

    Raises:
        ValueError: If there is an unknown option, or one has a value that cannot be.
    """
    if values is not None and not isinstance(values, Mapping):
        raise ValueError(f"`gate` must have named options, as `GateConfig` has them; got {values!r}.")
    values = dict(values or {})
    require_known(
        values, [field.name for field in fields(GateConfig)], "`gate` must have options of `GateConfig`"
    )
    try:
        return asdict(GateConfig(**values))
    except ValueError as error:
        raise ValueError(f"`gate`: {error}") from error


def require_options(values: Mapping[str, Any], known: Collection[str], rules: Mapping[str, Rule]) -> None:
    """Check fields of a configuration, its gate included, before there is a whole one.

    Args:
        values: The fields' values.
        known: The names of all fields.
        rules: The rules of those that have one.

    Raises:
        ValueError: If a field is unknown, or has a value that cannot be.
    """
    require_known(values, known, "it must have fields of the model's configuration")
    require_fields(values, rules)
    if "gate" in values:
        gate_options(values["gate"])


def require_known(names: Collection[str], known: Collection[str], rule: str) -> None:
    """Refuse a name that is not known, with the nearest one that is.

    Args:
        names: The names.
        known: Those that may be.
        rule: What the error says first, such as "`options` must be fields of `VkoodConfig`".

    Raises:
        ValueError: If there is one.
    """
    if unknown := sorted(set(names).difference(known), key=str):
        near = nearest(str(unknown[0]), known)
        hint = f"; did you mean `{'` or `'.join(near)}`?" if near else "."
        raise ValueError(f"{rule}; got `{unknown[0]}`{hint}")


def tower_config(name: str, values: Any, default: str) -> PreTrainedConfig:
    """The configuration of a tower, whose values have been checked.

    Args:
        name: The field that it stands in, for errors.
        values: A configuration, or what its JSON holds, `model_type` included.
        default: The `model_type` of values without one.

    Raises:
        ValueError: If there is none of that type, or a value cannot be.
    """
    if isinstance(values, PreTrainedConfig):
        require_plausible(values.to_dict(), f"{name}.")
        return values
    if values is not None and not isinstance(values, Mapping):
        raise ValueError(
            f"`{name}` must have named values, as a tower's config.json has them; got {values!r}."
        )
    options = dict(values or {})
    kind = options.pop("model_type", default)
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        raise ValueError(
            f"`{name}.model_type` must be a kind of model that `transformers` has; got {kind!r}."
        )
    require_plausible(options, f"{name}.")
    try:
        return AutoConfig.for_model(kind, **options)
    except Exception as error:  # a strict configuration has errors of its own
        raise ValueError(f"`{name}` cannot be the configuration of a {kind}: {reason(error)}") from error


class VkoodConfig(PreTrainedConfig):
    """Configuration of a two-stream model with knowledge.

    Attributes:
        image_config: Configuration of the image tower, of any `transformers` image encoder.
        text_config: Configuration of the text tower, of any `transformers` text encoder.
        fact_dim: Width of the fact vectors.
        gate: The options of `GateConfig`, as a dictionary.
        hidden_size: Width of the fusion.
        num_attention_heads: Heads of each attention in the fusion.
        num_fusion_layers: How many co-attention layers.
        intermediate_size: Width of the fusion's feed-forward layers; four times `hidden_size` if None.
        pooling: "concat" as in METER, or "product", which multiplies the fused text with the image as it was
            before the fusion.
        dropout: Of attention and hidden states in the fusion.
        layer_norm_eps: Of the fusion's layer norms; 1e-12 as in METER.
        clip_layers: How much of a CLIP image tower is used: "meter" for all but the last layer, as in METER, or "all".
            `image_config` has the depth of the pretrained tower either way.
        num_images: How many images an example may have at most, each with its own token type.
        output_states: Whether outputs have the states of both streams. Without them the last fusion layer computes
            the first word alone: for small models, where that layer is a good part of the whole.
        match_loss_weight: Weight of the matching loss beside the ranking loss (image-text retrieval).
        num_answers: How many answers there are: as many as labels, if these are given.
        masked_language: Whether a model for pre-training has a head for masked tokens.
        matching: Whether a model for pre-training has a head for matching.
        steer_fusion: Whether the token weights of the gate's `steering` act in the fusion too: on the
            attention to image tokens, and on their mean where that stands for the image. Questions without
            facts then teach the weights as well.
        initializer_range: Standard deviation of new weights.

    The answers live in `id2label` / `label2id`, as with every classifier of `transformers`; there are 3,129, VQAv2's
    usual number, if nothing else is said.
    """

    # transformers wraps `__init__` to take further keywords; jaxtyping's checks under pytest must not wrap it
    # again.
    __no_type_check__ = True

    model_type = "vkood"
    keys_to_ignore_at_inference = NOT_PREDICTIONS
    sub_configs = {"image_config": AutoConfig, "text_config": AutoConfig}  # noqa: RUF012  # pyright: ignore[reportAssignmentType] - as transformers has it

    image_config: dict[str, Any] | PreTrainedConfig | None = None
    text_config: dict[str, Any] | PreTrainedConfig | None = None
    fact_dim: int = 384
    gate: dict[str, Any] | None = None
    hidden_size: int = 768
    num_attention_heads: int = 12
    num_fusion_layers: int = 6
    intermediate_size: int | None = None
    pooling: Literal["concat", "product"] = "concat"
    dropout: float = 0.1
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02
    steer_fusion: bool = False
    clip_layers: ClipLayers = "meter"
    num_images: int = 1
    output_states: bool = True
    match_loss_weight: float = 0.5
    num_answers: int = NUM_ANSWERS
    masked_language: bool = True
    matching: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        """Fill in defaults and check what can be checked."""
        require_fields(vars(self) | kwargs, _RULES)
        self.image_config = tower_config("image_config", self.image_config, "clip_vision_model")
        self.text_config = tower_config("text_config", self.text_config, "roberta")
        self.gate = gate_options(self.gate)
        if self.steer_fusion and "weights" not in self.gate["steering"]:
            raise ValueError(
                f"`steer_fusion` needs a gate whose `steering` has weights; got {self.gate['steering']!r}."
            )
        if self.intermediate_size is None:
            self.intermediate_size = 4 * self.hidden_size
        if self.id2label is None:
            # transformers does not write labels down that it takes for its own two.
            kwargs.setdefault("num_labels", self.num_answers)
        elif (number := kwargs.pop("num_labels", None)) not in (None, len(self.id2label)):
            raise ValueError(f"`num_labels` must be that of `id2label`, {len(self.id2label)}; got {number}.")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"`hidden_size` must be a multiple of `num_attention_heads`; got {self.hidden_size} and "
                f"{self.num_attention_heads}."
            )
        super().__post_init__(**kwargs)
        answers = dict(self.id2label or {})
        if sorted(answers) != list(range(len(answers))):
            raise ValueError("`id2label` must number the answers from 0 on, without a gap.")
        self.num_answers = len(answers)

    @classmethod
    def options(cls) -> set[str]:
        """The names of all that may be said beside the towers."""
        own = {field.name for field in fields(cls)}  # pyright: ignore[reportArgumentType] - transformers makes it one
        return own - {"image_config", "text_config"} | {"num_labels"}

    @classmethod
    def require_options(cls, values: Mapping[str, Any]) -> None:
        """Check fields by themselves, each as far as it does not depend on others.

        Raises:
            ValueError: If one is unknown, or has a value that cannot be.
        """
        require_options(values, {*cls.options(), "image_config", "text_config"}, _RULES)

    @property
    def gate_config(self) -> GateConfig:
        """The gate's options, checked."""
        return GateConfig(**(self.gate or {}))


_RULES: dict[str, Rule] = {
    "fact_dim": Whole(1, MAX_WIDTH),
    "hidden_size": Whole(1, MAX_WIDTH),
    "num_attention_heads": Whole(1, MAX_HEADS),
    "num_fusion_layers": Whole(1, MAX_LAYERS),
    "intermediate_size": Optional(Whole(1, 4 * MAX_WIDTH)),
    "pooling": Choice(("concat", "product")),
    "dropout": Real(0, 1),
    "layer_norm_eps": Real(0, 1),
    "initializer_range": Real(0, 100),
    "steer_fusion": Flag(),
    "clip_layers": Choice(get_args(ClipLayers)),
    "num_images": Whole(1, 64),
    "output_states": Flag(),
    "match_loss_weight": Real(0),
    "num_answers": Whole(0, MAX_LABELS),
    "num_labels": Whole(0, MAX_LABELS),
    "masked_language": Flag(),
    "matching": Flag(),
    "id2label": Optional(Labels()),
}
