"""A picture of what calibrated thresholds keep and let through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vkood.files import complete_file
from vkood.gating import CalibrationReport


def plot_calibration(report: CalibrationReport, path: str | Path) -> None:
    """Draw the scores of candidates that belong and of others, and the thresholds.

    Args:
        report: The report.
        path: The picture to write: PNG, SVG or PDF, by its ending.

    Raises:
        ImportError: matplotlib, of the extra `train`, is not installed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes: Any = figure.subplots()
    for scores, name, colour in (
        (report.scores_inside, f"belong: {report.coverage:.1%} kept", "#0072b2"),
        (report.scores_outside, f"others: {report.let_through:.1%} kept", "#d55e00"),
    ):
        if scores:
            axes.hist(scores, bins=40, density=True, alpha=0.6, color=colour, label=name)
    for threshold in report.thresholds.values():
        axes.axvline(threshold, color="#000000", linewidth=1)
    axes.set(xlabel="score (larger = more outlying)", ylabel="density")
    axes.legend(frameon=False)
    with complete_file(Path(path)) as unfinished:
        figure.savefig(unfinished, format=Path(path).suffix.lstrip(".") or "png", dpi=150)
