"""The picture of a calibration."""

import pytest
import torch

from vkood.gating import Calibration
from vkood.reporting.calibration import plot_calibration

pytest.importorskip("matplotlib", reason="the extra `train` is not installed")


def test_scores_and_thresholds_are_drawn(tmp_path):
    scores = torch.randn(20, 10, generator=torch.Generator().manual_seed(0))
    belongs = torch.arange(10) < 5
    report = Calibration.of(scores[:, :5]).report(scores, belongs.expand(20, 10))
    plot_calibration(report, tmp_path / "scores.png")
    assert (tmp_path / "scores.png").read_bytes()[:4] == b"\x89PNG"
    plot_calibration(report, tmp_path / "scores.svg")
    assert "<svg" in (tmp_path / "scores.svg").read_text()
