"""The example of the page on retrieval-augmented generation runs, and prints what the page speaks of."""

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "rag.md"


def test_example_runs(capsys):
    page = PAGE.read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    exec(compile(block, PAGE.name, "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    *kept, question = lines[:3]
    assert re.findall(r"^    (0\.\d+  .*)$", page, flags=re.MULTILINE) == lines[3:]
    assert kept == ["Umbrellas keep you dry in the rain.", "Rain falls from clouds."]
    assert question == "What do you hold over your head when it rains?"
