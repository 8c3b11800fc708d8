"""Gates that need no training, on the same photographs: ours with other options, and its rivals.

Each is tried with the classifier's uncalibrated probabilities as weights (the power of 0.8 of the calibrated ones) and
with their square roots, with the widths of its grid, and
with three kinds of score: its own; less what the candidate would have if any concept could be pictured; less the mean
of the context's own tokens. All is chosen on the photographs of the split "train", kind by kind, by the AUROC over all
of them.

Student's t of one component is a monotonic function of the cosine to its mean, and so is not an arm of its own; nor is
the cosine with a split-conformal threshold, since every gate here is calibrated so.

Legend: B photographs, T concepts of each, N candidates, D features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vkood import OutlierLayer
from vkood.metrics import auroc
from vkood.mixture import Diagonal, Prior, Spherical
from vkood.pipelines.concept_gate import WEIGHT_POWER

from ..measuring import print_table
from .gate import measured, usual_scores
from .labelled_photographs import Material

KAPPAS = (5.0, 10.0, 15.0, 20.0, 40.0)
POWERS = (2 * WEIGHT_POWER, WEIGHT_POWER)

# How much of the usual score is taken off, where a score is not the logarithm of a density of the same kappa; both in
# units of a cosine.
_SHARES = (0.25, 0.5, 1.0, 2.0)
_USUAL_KAPPA = 10.0

Score = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From candidates (B, N, D), tokens (B, T, D) and weights (B, T) to scores (B, N)."""


@dataclass(frozen=True, slots=True)
class Arm:
    """A kind of gate.

    Args:
        name: What the table calls it.
        options: What is tried on the training photographs.
        make: From an option to the gate's score.
        is_log_density: Whether the option is a kappa, and the score the negative logarithm of a density of it.
    """

    name: str
    options: Sequence[float]
    make: Callable[[float], Score]
    is_log_density: bool = True


def _spherical(components: int, background: float = 0.0) -> Callable[[float], Score]:
    def make(kappa: float) -> Score:
        def score(facts: Tensor, tokens: Tensor, weights: Tensor) -> Tensor:
            layer = OutlierLayer(
                facts.shape[-1],
                facts.shape[-1],
                num_components=components,
                joint="identity",
                family=Spherical(kappa=kappa, background=background),
            )
            return layer(facts, context=tokens, context_mask=weights).score

        return score

    return make


def _gaussian(variance_strength: float) -> Callable[[float], Score]:
    def make(variance: float) -> Score:
        def score(facts: Tensor, tokens: Tensor, weights: Tensor) -> Tensor:
            prior = Prior(variance=variance, variance_strength=variance_strength)
            width = facts.shape[-1]
            layer = OutlierLayer(width, width, None, 2, joint="identity", family=Diagonal(), prior=prior)
            # weights of which a token has 1 in the mean, as the prior counts
            return layer(facts, context=tokens, context_mask=weights * weights.shape[1]).score

        return score

    return make


def _kernel(kappa: float) -> Score:
    """Log-sum-exp over all tokens, as `KernelGate` has it with kappa = D / bandwidth."""

    def score(facts: Tensor, tokens: Tensor, weights: Tensor) -> Tensor:
        affinity = kappa * torch.bmm(facts, tokens.mT) + weights.log()[:, None]
        return -torch.logsumexp(affinity, dim=-1)

    return score


def _nearest(_: float) -> Score:
    return lambda facts, tokens, weights: -torch.bmm(facts, tokens.mT).amax(-1)


def _weighted_cosine(_: float) -> Score:
    """The cosine to the weighted mean; the layer with K = 1, whose prior is left out."""

    def score(facts: Tensor, tokens: Tensor, weights: Tensor) -> Tensor:
        mean = functional.normalize((weights[..., None] * tokens).sum(1), dim=-1)
        return -torch.bmm(facts, mean[..., None])[..., 0]

    return score


ARMS = (
    *(Arm(f"OutlierLayer, K = {number}", KAPPAS, _spherical(number)) for number in (1, 2, 4, 8)),
    Arm("OutlierLayer, K = 4, background 0.2", KAPPAS, _spherical(4, 0.2)),
    Arm("kernel (log-sum-exp)", KAPPAS, _kernel),
    Arm("cosine to the weighted mean", (0.0,), _weighted_cosine, is_log_density=False),
    Arm("cosine to the nearest concept", (0.0,), _nearest, is_log_density=False),
    Arm("Gaussian, K = 2, variance counts as 1", (1.0,), _gaussian(1.0), is_log_density=False),
    Arm("Gaussian, K = 2, variance counts as 20", (0.3, 1.0, 3.0), _gaussian(20.0), is_log_density=False),
)


@dataclass(frozen=True, slots=True)
class Setting:
    """What was chosen for an arm and a kind of score; `share` is how much of the usual score is taken off."""

    kind: str
    option: float
    power: float
    share: float = 0.0


@torch.no_grad()
def variants(arm: Arm, option: float, power: float, material: Material) -> dict[Setting, Tensor]:
    """(B, N) scores of every kind."""
    score, weights = arm.make(option), material.weights(power)
    own = score(material.facts, material.tokens, weights)
    tokens = score(material.tokens, material.tokens, weights)
    scores = {
        Setting("own", option, power): own,
        Setting("less context's", option, power): own - (weights * tokens).sum(1, keepdim=True),
    }
    if arm.is_log_density:
        return {**scores, Setting("less usual", option, power, 1.0): own - usual_scores(material, option)}
    usual = usual_scores(material, _USUAL_KAPPA) / _USUAL_KAPPA
    return {
        **scores,
        **{Setting("less usual", option, power, share): own - share * usual for share in _SHARES},
    }


def chosen(arm: Arm, material: Material) -> list[Setting]:
    """The best setting for each kind of score."""
    mask, outlier = material.candidates.mask, material.candidates.outlier
    best: dict[str, tuple[float, Setting]] = {}
    for option in arm.options:
        for power in POWERS:
            for setting, scores in variants(arm, option, power, material).items():
                quality = auroc(scores[mask], outlier[mask])
                if setting.kind not in best or quality > best[setting.kind][0]:
                    best[setting.kind] = quality, setting
    return [setting for _, setting in best.values()]


def compared(material: Material) -> list[dict[str, object]]:
    """What every arm does, with a table."""
    training = material.where(lambda photograph: photograph.split != "test")
    records: list[dict[str, object]] = []
    for arm in ARMS:
        for setting in chosen(arm, training):
            scores = variants(arm, setting.option, setting.power, material)[setting]
            records.append({"arm": arm.name, **asdict(setting), **measured(material, scores)})
    columns = ["auroc_within", "auroc_pooled", "kept", "let_through"]
    print_table(
        "nothing trained",
        ["gate", "score", *columns, "option", "power", "share"],
        [
            [
                str(record["arm"]),
                str(record["kind"]),
                *(f"{record[column]:.3f}" for column in columns),
                *(str(record[name]) for name in ("option", "power", "share")),
            ]
            for record in records
        ],
    )
    return records
