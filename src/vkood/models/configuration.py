"""The configuration of the two-stream family: its towers, its fusion, and its gate."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from transformers import AutoConfig, PreTrainedConfig

from vkood.mixture import Covariance, Diagonal, Full, KernelGate, OutlierLayer, Prior, Spherical, Tied
from vkood.mixture.gate import GateMode
from vkood.mixture.layer import ScoreName
from vkood.models.steering import SteeringName, TextSteering
from vkood.models.towers import ClipLayers
from vkood.solve import Anderson, Gradient, Implicit, LastIterate, Neumann, Picard, Solver, Squarem, Unrolled

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

    # Names come from JSON files, so they are checked below, whatever the annotations promise.
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
        """Check the names; the numbers are checked by what they are for."""
        for name, value, allowed in (
            ("kind", self.kind, ("mixture", "kernel", "none")),
            ("covariance", self.covariance, _COVARIANCES),
            ("solver", self.solver, _SOLVERS),
            ("gradient", self.gradient, _GRADIENTS),
            ("score", self.score, get_args(ScoreName)),
            ("mode", self.mode, get_args(GateMode)),
            ("steering", self.steering, get_args(SteeringName)),
        ):
            if value not in allowed:
                raise ValueError(f"the gate's `{name}` must be one of {', '.join(allowed)}; got {value!r}.")
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
            covariance=_COVARIANCES[self.covariance](),
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
        masked_language: Whether a model for pre-training has a head for masked words.
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
        self.image_config = _sub_config(self.image_config, "clip_vision_model")
        self.text_config = _sub_config(self.text_config, "roberta")
        self.gate = asdict(GateConfig(**(self.gate or {})))
        if self.clip_layers not in get_args(ClipLayers):
            raise ValueError(f'`clip_layers` must be "meter" or "all"; got {self.clip_layers!r}.')
        if self.num_images < 1:
            raise ValueError(f"`num_images` must be at least 1; got {self.num_images}.")
        if self.pooling not in ("concat", "product"):
            raise ValueError(f'`pooling` must be "concat" or "product"; got {self.pooling!r}.')
        if self.steer_fusion and "weights" not in self.gate["steering"]:
            raise ValueError(
                f"`steer_fusion` needs a gate whose `steering` has weights; got {self.gate['steering']!r}."
            )
        if self.intermediate_size is None:
            self.intermediate_size = 4 * self.hidden_size
        if self.id2label is None:
            # transformers does not write labels down that it takes for its own two.
            kwargs.setdefault("num_labels", self.num_answers)
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"`hidden_size` must be a multiple of `num_attention_heads`; got {self.hidden_size} and "
                f"{self.num_attention_heads}."
            )
        super().__post_init__(**kwargs)
        self.num_answers = len(self.id2label or {})

    @property
    def gate_config(self) -> GateConfig:
        """The gate's options, checked."""
        return GateConfig(**(self.gate or {}))


def _sub_config(given: dict[str, Any] | PreTrainedConfig | None, default: str) -> PreTrainedConfig:
    if isinstance(given, PreTrainedConfig):
        return given
    options = dict(given or {})
    return AutoConfig.for_model(options.pop("model_type", default), **options)
