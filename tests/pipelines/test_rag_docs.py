"""The example of the page on retrieval-augmented generation runs, and prints what the page speaks of."""

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "rag.md"


def test_example_runs(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    exec(compile(block, PAGE.name, "exec"), {})
    *kept, question = capsys.readouterr().out.splitlines()
    assert kept == ["Umbrellas keep you dry in the rain.", "Rain falls from clouds."]
    assert question == "What do you hold over your head when it rains?"
