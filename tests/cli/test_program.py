"""The program itself: help, version, and that neither waits for PyTorch."""

import logging
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import vkood
from vkood.cli import app


def test_version():
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout.strip()) == (0, vkood.__version__)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["demo", "--help"], ["evaluate", "--help"]])
def test_help(arguments):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == (0 if arguments else 2)
    assert "Usage" in result.output


@pytest.mark.parametrize("arguments", [["train"], ["evaluate"], ["evaluate", "m"], ["demo", "--seed", "one"]])
def test_wrong_usage(arguments):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "Usage" in result.stderr


def test_help_imports_nothing_heavy():
    """Which is why it answers at once; seconds would also measure what else the machine is doing."""
    program = "import sys, vkood.cli\nsys.argv[1:] = ['--help']\n" + (
        "try:\n    vkood.cli.main()\nfinally:\n    print(*sys.modules, file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    loaded = set(result.stderr.split())
    assert "Usage" in result.stdout
    assert "vkood.cli.evaluate" in loaded
    assert loaded.isdisjoint(
        {"torch", "transformers", "numpy", "matplotlib", "sklearn", "PIL", "jaxtyping", "pyarrow"}
    )


def test_mistakes_are_told_without_waiting_for_pytorch(tmp_path):
    program = f"import sys; sys.argv[1:] = ['evaluate', {str(tmp_path)!r}, '--data', 'easy-vqa']\n" + (
        "from vkood.cli import main\ntry:\n    main()\nfinally:\n    print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (result.returncode, result.stdout.strip()) == (2, "False")
    assert result.stderr.startswith("vkood: ")


def test_recipes_fit_a_page_in_a_pipe():
    lines = CliRunner().invoke(app, ["recipes"]).stdout.splitlines()
    assert len(lines) > 20
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("own", [{}, {"TRANSFORMERS_VERBOSITY": "info"}])
def test_transformers_shows_no_bars_and_advice(own):
    """Whatever a command loads or saves later; who asks for its messages gets them."""
    program = "import sys, vkood.cli\nsys.argv[1:] = ['recipes', '--json']\n" + (
        "try:\n    vkood.cli.main()\nexcept SystemExit:\n    pass\n"
        "from transformers.utils import logging\n"
        "print(logging.is_progress_bar_enabled(), logging.get_verbosity(), file=sys.stderr)"
    )
    names = ("HF_HUB_DISABLE_PROGRESS_BARS", "TRANSFORMERS_VERBOSITY")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment | own
    )
    level = logging.INFO if own else logging.ERROR
    assert result.stderr.splitlines()[-1] == f"False {level}"
