"""Processes of a run: what they import, and what is said when they are ended."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import vkood

NAMES = (
    "json",
    "random",
    "pickle",
    "runpy",
    "socket",
    "tempfile",
    "typer",
    "torch",
    "vkood",
    "files",
    "data",
    "train",
)


@pytest.fixture
def trap(tmp_path):
    """A folder whose modules bear common names, and say so when they are imported."""
    folder = tmp_path / "trap"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(f"raise SystemExit('imported {name}')")
    return folder


def environment(**changes):
    """Without what protects Python from 3.11 on: 3.10 has no such thing."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    source = str(Path(vkood.__file__).parents[1])
    return inherited | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": source} | changes


def test_a_process_of_a_run_imports_nothing_from_the_current_folder(trap):
    program = Path(vkood.__file__).with_name("__main__.py")
    for changes in ({}, {"PYTHONSAFEPATH": "1"}):
        result = subprocess.run(
            [sys.executable, program, "--version"],
            cwd=trap,
            env=environment(**changes),
            capture_output=True,
            text=True,
        )
        assert (result.returncode, result.stdout.strip()) == (0, vkood.__version__), result.stderr


def test_the_trap_works(trap):
    """As `python -m vkood` and the launcher of torch would start it."""
    result = subprocess.run(
        [sys.executable, "-m", "vkood"], cwd=trap, env=environment(), capture_output=True, text=True
    )
    assert "imported" in result.stderr


SPAWNING = """
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext

if __name__ == "__main__":
    sys.path.pop(0)  # this script's folder
    from vkood.processes import outside_current_folder
    with (outside_current_folder if sys.argv[1] == "outside" else nullcontext)():
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(1, mp_context=context, initializer=os.chdir, initargs=(sys.argv[2],))
        folder = pool.submit(os.getcwd)
    print(folder.result())
"""


def test_processes_of_the_demo_neither(trap, tmp_path):
    """They are in the current folder nevertheless, so that relative names mean the same there."""
    script = tmp_path / "script.py"
    script.write_text(SPAWNING)
    outside, inside = (
        subprocess.run(
            [sys.executable, script, where, trap], cwd=trap, env=environment(), capture_output=True, text=True
        )
        for where in ("outside", "inside")
    )
    assert outside.stdout.strip() == str(trap), outside.stderr
    assert "imported" in inside.stderr
