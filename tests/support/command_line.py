"""What the tests of the commands have in common."""

from __future__ import annotations

from click.testing import Result


def refusal(result: Result) -> str:
    """The sentence of a command that had to be refused, and said nothing else."""
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("vkood: ")
    assert "Traceback" not in lines[0]
    return lines[0]
