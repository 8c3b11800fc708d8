"""Thresholds with a promise: split-conformal calibration of a gate.

Of n held-out scores of candidates that belong, the threshold is the one of rank ceil((n + 1) keep). Where a new
candidate that belongs is exchangeable with them, its rank among the n + 1 is uniform, so that

    P(its score <= threshold) >= keep,

in finite samples and whatever the distribution (Vovk, Gammerman, Shafer 2005; Lei et al., JASA 2018). With
n < keep / (1 - keep) that rank is beyond n, and no threshold keeps the promise.
"""

# What some methods of tensors return is unknown to the type checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import NoneType

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vkood.fields import Real, require_fields, require_kind

ALL = -1
"""The group of a calibration that has no groups."""


class CalibrationWarning(UserWarning):
    """There are too few scores for the promise."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Thresholds under which a share of the candidates that belong is kept, for all of them or for each group.

    Attributes:
        keep_rate: The share.
        thresholds: The threshold of each group; of `ALL` where there are no groups.
        counts: How many scores it was taken from.

    Example:
        >>> import torch
        >>> calibration = Calibration.of(torch.arange(99.0), keep_rate=0.9)
        >>> calibration.threshold, calibration.guaranteed
        (89.0, True)
        >>> calibration.report(torch.tensor([[50.0, 95.0]]), torch.tensor([[True, False]])).coverage
        1.0
    """

    keep_rate: float
    thresholds: Mapping[int, float]
    counts: Mapping[int, int]

    @classmethod
    def of(
        cls,
        scores: Float[Tensor, "*axes"],
        keep_rate: float = 0.95,
        *,
        groups: Int[Tensor, "*axes"] | None = None,
    ) -> Calibration:
        """Calibrate on held-out scores of candidates that belong.

        Args:
            scores: The scores, of any shape; infinite ones (masked candidates) do not count.
            keep_rate: The share to keep, in (0, 1]. 1 has no promise: the threshold is the largest score.
            groups: The group of each candidate, at least 0, such as its relation, or how many facts come with it: each
                has a threshold, and a promise, of its own. None for one threshold.

        Raises:
            ValueError: A score is NaN, there is no finite one, or groups are negative or of another shape.

        Warns:
            CalibrationWarning: There are too few scores for the promise; the largest is taken.
        """
        _require_scores(scores, groups)
        scores = scores.detach()
        require_fields({"keep_rate": keep_rate}, {"keep_rate": Real(0, 1, above=True)})
        if bool(scores.isnan().any()):
            raise ValueError(
                "`scores` must be numbers; some are NaN. Look at the features that they came from."
            )
        finite = torch.isfinite(scores)
        if not bool(finite.any()):
            raise ValueError(
                "`scores` must hold at least one finite score of a candidate that belongs; got none."
            )
        parts = {ALL: scores[finite]} if groups is None else _by_group(scores, groups, finite)
        thresholds = {group: _threshold(part, keep_rate) for group, part in parts.items()}
        calibration = cls(
            keep_rate=keep_rate,
            thresholds=thresholds,
            counts={group: part.numel() for group, part in parts.items()},
        )
        if short := [group for group in parts if not calibration._promises(group)]:
            few = min(calibration.counts[group] for group in short)
            where = "" if groups is None else f" in the groups {', '.join(map(str, short[:5]))}"
            needed = (
                "however many there are" if keep_rate == 1 else f"with fewer than {smallest_count(keep_rate)}"
            )
            warnings.warn(
                f"{few} scores{where} cannot promise to keep {keep_rate:.4g} of the candidates that belong, {needed}; "
                "the largest score is the threshold.",
                CalibrationWarning,
                stacklevel=2,
            )
        return calibration

    @property
    def threshold(self) -> float:
        """The one threshold of a calibration without groups.

        Raises:
            ValueError: There are groups.
        """
        if ALL not in self.thresholds:
            raise ValueError("this calibration has a threshold for each group: ask for `thresholds`.")
        return self.thresholds[ALL]

    @property
    def guaranteed(self) -> bool:
        """Whether there were enough scores, in each group, for the promise."""
        return all(self._promises(group) for group in self.thresholds)

    def keeps(
        self, scores: Float[Tensor, "*axes"], groups: Int[Tensor, "*axes"] | None = None
    ) -> Bool[Tensor, "*axes"]:
        """Which candidates are kept; of groups that were not calibrated all that have a finite score.

        Raises:
            ValueError: `groups` are given to a calibration without groups, or the other way round, or are no whole
                numbers of the shape of `scores`.
        """
        _require_scores(scores, groups)
        if (groups is None) != (ALL in self.thresholds):
            raise ValueError(
                f"`groups` must {'not ' if groups is not None else ''}be given, as in the calibration."
            )
        # Half precision does not hold every threshold.
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        limits = torch.full_like(scores, self.thresholds.get(ALL, torch.finfo(scores.dtype).max))
        if groups is not None:
            for group, threshold in self.thresholds.items():
                limits = torch.where(groups == group, threshold, limits)
        return scores <= limits

    def report(
        self,
        scores: Float[Tensor, "queries candidates"],
        belongs: Bool[Tensor, "queries candidates"],
        groups: Int[Tensor, "queries candidates"] | None = None,
    ) -> CalibrationReport:
        """What the thresholds do to further candidates, of which is known whether they belong.

        Args:
            scores: Their scores, infinite where there is none.
            belongs: Whether each belongs.
            groups: Their groups, if the calibration has any.
        """
        require_kind("scores", scores, Tensor)
        require_kind("belongs", belongs, Tensor)
        if belongs.dtype != torch.bool or belongs.shape != scores.shape:
            raise ValueError(
                f"`belongs` must be boolean and of the shape of `scores`, {tuple(scores.shape)}; got {belongs.dtype} "
                f"of shape {tuple(belongs.shape)}."
            )
        there, kept = torch.isfinite(scores), self.keeps(scores, groups)
        kept = kept & there
        inside, outside = belongs & there, ~belongs & there
        by_group = {}
        if groups is not None:
            by_group = {group: _share(kept, inside & (groups == group)) for group in sorted(self.thresholds)}
        return CalibrationReport(
            keep_rate=self.keep_rate,
            coverage=_share(kept, inside),
            let_through=_share(kept, outside),
            kept_per_query=kept.sum(-1).flatten().tolist(),
            coverage_of_groups=by_group,
            scores_inside=scores[inside].flatten().tolist(),
            scores_outside=scores[outside].flatten().tolist(),
            thresholds=dict(self.thresholds),
        )

    def _promises(self, group: int) -> bool:
        return _rank(self.counts[group], self.keep_rate) <= self.counts[group]


@dataclass(frozen=True, kw_only=True)
class CalibrationReport:
    """What calibrated thresholds do to candidates that were not calibrated on.

    Attributes:
        keep_rate: The share of the candidates that belong which was to be kept.
        coverage: The share that was kept; NaN if none belong.
        let_through: The share of the others that was kept as well; NaN if there are none.
        kept_per_query: How many candidates each query keeps.
        coverage_of_groups: The coverage of each group.
        scores_inside: The scores of candidates that belong, for `vkood.reporting.calibration.plot_calibration`.
        scores_outside: Those of the others.
        thresholds: The thresholds.
    """

    keep_rate: float
    coverage: float
    let_through: float
    kept_per_query: list[int]
    coverage_of_groups: dict[int, float] = field(default_factory=dict[int, float])
    scores_inside: list[float] = field(default_factory=list[float], repr=False)
    scores_outside: list[float] = field(default_factory=list[float], repr=False)
    thresholds: dict[int, float] = field(default_factory=dict[int, float], repr=False)

    @property
    def mean_kept(self) -> float:
        """Candidates kept per query."""
        return sum(self.kept_per_query) / max(1, len(self.kept_per_query))

    def __str__(self) -> str:
        """One sentence, for a terminal."""
        return (
            f"keeps {self.coverage:.1%} of the candidates that belong ({self.keep_rate:.1%} promised) and "
            f"{self.let_through:.1%} of the others, {self.mean_kept:.1f} a query"
        )


def smallest_count(keep_rate: float) -> int:
    """How many scores the promise needs, for rates below 1."""
    count = max(1, math.floor(keep_rate / (1 - keep_rate)))
    while _rank(count, keep_rate) > count:
        count += 1
    return count


def _rank(count: int, keep_rate: float) -> int:
    return max(1, math.ceil((count + 1) * keep_rate - 1e-9))


def _threshold(scores: Tensor, keep_rate: float) -> float:
    # kthvalue, since torch.quantile refuses more than 16 million scores
    rank = min(scores.numel(), _rank(scores.numel(), keep_rate))
    return float(scores.flatten().kthvalue(rank).values)


def _require_scores(scores: Tensor, groups: Tensor | None) -> None:
    """Refuse scores that are no real numbers, and groups that are not a whole number of at least 0 for each."""
    require_kind("scores", scores, Tensor)
    require_kind("groups", groups, (Tensor, NoneType))
    if scores.is_complex():
        raise ValueError(f"`scores` must be real numbers; got {scores.dtype}.")
    if groups is None:
        return
    whole = not (groups.is_floating_point() or groups.is_complex() or groups.dtype == torch.bool)
    if groups.shape != scores.shape or not whole or bool((groups < 0).any()):
        raise ValueError(
            f"`groups` must hold a whole number of at least 0 for each score, {tuple(scores.shape)}; got "
            f"{groups.dtype} of shape {tuple(groups.shape)}."
        )


def _by_group(scores: Tensor, groups: Tensor, finite: Tensor) -> dict[int, Tensor]:
    present: list[int] = groups.unique().tolist()
    if empty := [group for group in present if not bool(finite[groups == group].any())]:
        raise ValueError(
            f"each group must hold at least one finite score; {', '.join(map(str, empty[:5]))} has none. Leave it out."
        )
    return {group: scores[finite & (groups == group)] for group in present}


def _share(kept: Tensor, among: Tensor) -> float:
    return float((kept & among).sum()) / int(among.sum()) if bool(among.any()) else math.nan
