"""Refuse words that are not the field's own, listed in `words.tsv` with what to write instead.

A name is looked for where it is bound: an argument, a variable, a field. A phrase is looked for in every line of code
and pages; a line of a foreign format that must keep such a word ends with "words: keep".
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIST = Path(__file__).with_name("words.tsv")
FOLDERS = ("src", "tests", "scripts", "benchmarks", "docs")
KEEP = "words: keep"


def rules() -> tuple[dict[str, str], list[tuple[re.Pattern[str], str]]]:
    """The names that are refused with what to use instead, and the same for phrases."""
    names: dict[str, str] = {}
    phrases: list[tuple[re.Pattern[str], str]] = []
    for line in LIST.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        kind, word, instead = line.split("\t")
        if kind == "name":
            names[word] = instead
        else:
            phrases.append((re.compile(rf"\b(?:{word})\b", re.IGNORECASE), instead))
    return names, phrases


def bound_names(text: str) -> Iterator[tuple[int, str]]:
    """Each name that a module binds: line and name."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg


def complaints(path: Path) -> Iterator[str]:
    """What a file has that is listed."""
    names, phrases = rules()
    text, where = path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()
    if path.suffix == ".py":
        for line, name in bound_names(text):
            if name in names:
                yield f"{where}:{line}: a name says what it holds; in place of `{name}`: {names[name]}"
    for line, content in enumerate(text.splitlines(), 1):
        for phrase, instead in phrases:
            if (match := phrase.search(content)) and KEEP not in content:
                yield f"{where}:{line}: in place of {match[0]!r}: {instead}"


def main() -> int:
    """Print every place; 1 if there is any."""
    paths = [
        path for folder in FOLDERS for suffix in ("*.py", "*.md") for path in (ROOT / folder).rglob(suffix)
    ]
    paths += [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    problems = [problem for path in sorted(paths) for problem in complaints(path)]
    print("\n".join(problems) or "All words are the field's own.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
