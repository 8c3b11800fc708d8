"""Write docs/commands.md from the commands themselves; with --check only say whether it is as they are.

    python scripts/command_page.py [--check]

What stands in front of the list of commands is written by hand and stays.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import typer.main

from vkood.cli import app
from vkood.cli.descriptions import CommandText, ParameterText, describe_all
from vkood.cli.help import EXIT_CODES

PAGE = Path(__file__).resolve().parent.parent / "docs" / "commands.md"
LIST = "<!-- commands: what follows is written by `python scripts/command_page.py` -->\n"


def page(text: str) -> str:
    """The page as it has to be.

    Args:
        text: The page as it is, of which what stands in front of the list of commands is kept.

    Raises:
        ValueError: If the mark in front of the list of commands is missing.
    """
    front, mark, _ = text.partition(LIST)
    if not mark:
        raise ValueError(f"{PAGE.name} must have the line {LIST.strip()!r}.")
    codes = (f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items())
    lines = ["## Exit codes", "", "| Code | Meaning |", "|---|---|", *codes, ""]
    for command in describe_all(typer.main.get_command(app)):
        lines += section(command)
    return f"{front}{mark}\n" + "\n".join(lines)


def section(command: CommandText) -> Iterator[str]:
    """The lines of a command's section."""
    level = "##" if command.commands else "###"
    yield from (f"{level} {command.path}", "")
    for paragraph in command.paragraphs:
        yield from (escaped(paragraph), "")
    yield from (f"    {command.usage}", "")
    if command.arguments:
        yield from ("| Argument | |", "|---|---|", *map(row, command.arguments), "")
    for panel, options in command.options.items():
        if panel:
            yield from (f"{panel}:", "")
        yield from ("| Option | |", "|---|---|", *map(row, options), "")
    if command.examples:
        yield from ("Examples:", "", *(f"    {example}" for example in command.examples), "")


def row(parameter: ParameterText) -> str:
    """A parameter's row in a table."""
    title = parameter.title.replace("|", "\\|")
    return f"| `{title}` | {escaped(parameter.text)} |"


def escaped(text: str) -> str:
    """A help text as Markdown, in which options stand as code and no bar ends a cell of a table."""
    words = []
    for word in text.split(" "):
        bare = word.rstrip(".,;:)")
        words.append(f"`{bare}`{word[len(bare) :]}" if bare.startswith("--") and "`" not in bare else word)
    return " ".join(words).replace("|", "\\|").replace("<", "&lt;")


def main() -> int:
    """Write, or check; 1 if the page is not as the commands are."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit code 1 if the page is not true"
    )
    check = parser.parse_args().check
    text = PAGE.read_text(encoding="utf-8")
    expected = page(text)
    if check and text != expected:
        print(f"{PAGE.name} is not as the commands are: `python scripts/command_page.py` writes it.")
        return 1
    if not check:
        PAGE.write_text(expected, encoding="utf-8", newline="\n")
    print(f"{PAGE.name} has all commands.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
