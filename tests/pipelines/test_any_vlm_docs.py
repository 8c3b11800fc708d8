"""The examples of docs/any-vlm.md run, one after the other."""

import re
from pathlib import Path

import pytest
import torch

PAGE = Path(__file__).resolve().parents[2] / "docs" / "any-vlm.md"


@pytest.mark.slow
def test_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    scope: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/any-vlm.md", "exec"), scope)
    output = capsys.readouterr().out
    assert "<image>Facts:\n- a bow is blue.\n\nwhat is a mug ? :" in output
    lengths = re.search(r"\[2, (\d+)\]\) of torch.Size\(\[2, (\d+)\]", output)
    assert lengths is not None
    assert int(lengths[1]) <= int(lengths[2])
