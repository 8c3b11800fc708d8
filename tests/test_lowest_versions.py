"""The file of oldest versions says what pyproject.toml allows."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_lowest_versions_are_those_of_pyproject():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    run_time = text[text.index("\ndependencies = [") : text.index("\ndev = [")]
    allowed = dict(re.findall(r'"([\w-]+)>=([\d.]+)[";]', run_time))
    lines = (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()
    tested = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert allowed.keys() == tested.keys()
    for name, lowest in allowed.items():
        assert re.sub(r"(\.0)+$", "", tested[name]) == re.sub(r"(\.0)+$", "", lowest), name
