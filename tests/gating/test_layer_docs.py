"""The examples of the pages on the layer run, and print what the pages speak of."""

import re
from pathlib import Path

import pytest
import torch

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize(
    ("page", "printed"),
    [
        ("outlier-layer.md", "GateOutput(gate=(2, 5) float32, candidates=8"),
        ("choosing.md", "2 rows: 2 converged"),
        ("shapes.md", "torch.Size([4, 10]) torch.Size([4, 2, 64]) torch.Size([4])\ntensor(True)"),
        ("calibration.md", "of the candidates that belong (95.0% promised)"),
    ],
)
def test_examples_run(page, printed, capsys):
    torch.manual_seed(0)
    scope: dict[str, object] = {}
    for block in re.findall(
        r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), flags=re.DOTALL
    ):
        exec(compile(block, page, "exec"), scope)
    assert printed in capsys.readouterr().out
