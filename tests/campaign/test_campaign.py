"""A small campaign: no bad input ends in a traceback, is accepted, hangs, or runs code. And that it would be seen."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from .campaign import cases_of
from .case import Case
from .kinds import KINDS
from .verdicts import End, verdict

ROOT = Path(__file__).parents[2]
CASES = sum(kind.weight for kind in KINDS.values())
"""Each kind in its turn, once."""


@pytest.mark.slow
def test_a_campaign(tmp_path):
    """In a process of its own, which forks: that of the tests has threads."""
    outcomes = tmp_path / "outcomes.json"
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.campaign",
            f"--cases={CASES}",
            f"--json={outcomes}",
            f"--work={tmp_path}",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    faults = [outcome for outcome in json.loads(outcomes.read_text()) if outcome["verdict"] != "well"]
    assert not faults, result.stdout
    assert len(json.loads(outcomes.read_text())) == CASES


def test_the_seed_decides_the_cases(tmp_path):
    """Of a kind that needs no sound inputs to draw from."""

    def names(seed):
        return [case.name for _, _, case in cases_of(["paths", "disk", "code"], 30, seed, tmp_path)]

    assert names(0) == names(0) != names(1)
    assert len({kind for kind, _, _ in cases_of(["paths", "disk", "code"], 30, 0, tmp_path)}) == 3
    assert all(kind.weight > 0 for kind in KINDS.values())


def case(right="refused"):
    return Case("a case", lambda folder: [], right)


@pytest.mark.parametrize(
    ("right", "code", "errors", "expected"),
    [
        ("refused", 2, "vkood: `a` must be b; got c.", "well"),
        ("either", 0, "", "well"),
        ("refused", 0, "", "wrong acceptance"),
        ("accepted", 2, "vkood: `a` must be b; got c.", "wrong refusal"),
        ("refused", 1, "Traceback (most recent call last):\nKeyError", "traceback"),
        ("refused", -11, "", "traceback"),
        ("refused", 1, "vkood: unexpected KeyError: 'a'. The traceback is in x.", "unexpected"),
        ("refused", 2, "", "no sentence"),
        ("refused", 2, "vkood: `a` must be b; got c.\nmore", "no sentence"),
        ("refused", 2, "Do you wish to run the custom code? [y/N] vkood: no.", "prompt"),
        ("refused", 2, "Usage: vkood\n Error \n No such command", "well"),
    ],
)
def test_verdicts(right, code, errors, expected, tmp_path):
    assert verdict(case(right), tmp_path, End(code, "", "", errors))[0] == expected


def test_worse_things_come_first(tmp_path):
    end = End(2, "", "", "vkood: `a` must be b; got c.")
    (tmp_path / ".out.123.unfinished").touch()
    assert verdict(case(), tmp_path, end)[0] == "left over"
    assert verdict(case(), tmp_path, End(-9, "hang", "", ""))[0] == "hang"
    (tmp_path / "CANARY").touch()
    assert verdict(case(), tmp_path, end)[0] == "code run"


def test_mutations_are_damage():
    from .mutations import damaged_json

    text = json.dumps({"a": [1, {"b": 2}], "c": "d"})
    results = {damaged_json(text, random.Random(seed))[1] for seed in range(50)}
    assert len(results) > 25
    assert text.encode() not in results
