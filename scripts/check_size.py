"""Refuse modules and functions that have grown too long, and names that say nothing.

A reader should be able to hold a module in one sitting and a function on one screen. What is rightly longer
is listed in `EXCEPTIONS` with the reason; an exception that is no longer needed is an error too, so that the
list stays true.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("src", "tests", "scripts", "benchmarks")

MODULE_LINES = 600
FUNCTION_LINES = 80
"""Without the docstring: to document an argument must not cost a line of code."""

EMPTY_NAMES = {"common.py", "helpers.py", "misc.py", "utils.py"}

EXCEPTIONS: dict[str, str] = {}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(node: ast.AST, inside: str = "") -> Iterator[tuple[str, Function]]:
    """Each function under `node`: its qualified name and itself."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            yield f"{inside}{child.name}", child
        name = f"{inside}{child.name}." if isinstance(child, Function | ast.ClassDef) else inside
        yield from functions(child, name)


def code_lines(function: Function) -> int:
    """Lines from `def` to the end, less those of the docstring."""
    assert function.end_lineno is not None
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None and first.end_lineno is not None:
        lines -= first.end_lineno - first.lineno + 1
    return lines


def violations(path: Path, name: str) -> Iterator[tuple[str, str]]:
    """Each rule that the module breaks, as (what an exception would be listed under, what is wrong)."""
    if path.name in EMPTY_NAMES:
        yield f"{name}: name", f"{name}: says nothing of what is inside; name it for that"
    text = path.read_text(encoding="utf-8")
    if (lines := len(text.splitlines())) > MODULE_LINES:
        yield f"{name}: lines", f"{name}: {lines} lines, at most {MODULE_LINES}"
    for function, node in functions(ast.parse(text, filename=name)):
        where, at = f"{name}::{function}", f"{name}:{node.lineno}: {function}"
        if (lines := code_lines(node)) > FUNCTION_LINES:
            yield f"{where}: lines", f"{at} has {lines} lines, at most {FUNCTION_LINES}"


def main() -> int:
    """Print what is too long; 1 if anything is."""
    messages: dict[str, str] = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            messages.update(violations(path, path.relative_to(ROOT).as_posix()))
    complaints = [message for key, message in messages.items() if key not in EXCEPTIONS]
    complaints += [
        f"{key}: listed as an exception, but not needed" for key in EXCEPTIONS if key not in messages
    ]
    print("\n".join(complaints) or "All modules and functions are within their limits.")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
