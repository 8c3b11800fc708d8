"""The example of the page on the first photograph runs, and prints what the page speaks of."""

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "first-photo.md"


def test_example_runs(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    exec(compile(block, PAGE.name, "exec"), {})
    concept, *kept, dropped = capsys.readouterr().out.splitlines()
    assert "coffee" in concept or "drink" in concept or "espresso" in concept
    assert len(kept) == 3
    assert all(line.startswith("+") and "fits espresso" in line for line in kept)
    assert "a hot " in dropped  # tub or dog
    assert (tmp_path / "coffee.html").stat().st_size > 10_000


def test_pictures_are_there():
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]*)\)", PAGE.read_text(encoding="utf-8"))
    assert pictures
    assert all((PAGE.parent / picture).is_file() for picture in pictures)
