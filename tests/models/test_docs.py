"""The examples of docs/models.md run, one after the other."""

import re
from pathlib import Path

import pytest
import torch

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.slow
def test_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    blocks = re.findall(
        r"```python\n(.*?)```", (DOCS / "models.md").read_text(encoding="utf-8"), flags=re.DOTALL
    )
    scope: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/models.md", "exec"), scope)
    assert "torch.Size([2, 3])" in capsys.readouterr().out
    assert (tmp_path / "explanation.png").is_file()
