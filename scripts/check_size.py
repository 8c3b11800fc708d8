"""Refuse modules, functions and argument lists that have grown too long, and names that say nothing.

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

MODULE_LINES = 400
FUNCTION_LINES = 60
"""Without the docstring: to document an argument must not cost a line of code."""
PARAMETERS = 7
"""Without `self` and `cls`. A dataclass may have more fields: it is the record that the rest goes into."""

EMPTY_NAMES = {"common.py", "helpers.py", "misc.py", "utils.py"}

EXCEPTIONS = {
    "benchmarks/knowledge_noise/parts.py::Bench.run: parameters": "all that tells one run from another",
    "src/vkood/cli/data.py::prepare: parameters": "they are the options of the command",
    "src/vkood/cli/evaluate.py::evaluate: parameters": "they are the options of the command",
    "src/vkood/models/blip/answering.py::BlipVkoodForQuestionAnswering.generate: parameters": (
        "a batch's tensors, as in `forward`, and how to search"
    ),
    "src/vkood/models/blip/answering.py::BlipVkoodForQuestionAnswering.rank_answers: parameters": (
        "a batch's tensors, as in `forward`, and the answers"
    ),
    "src/vkood/mixture/fit.py::fit_mixture: parameters": "the choices of a fit, each with a default and given by name",
    "src/vkood/mixture/layer.py::OutlierLayer.__init__: parameters": (
        "the choices of the paper's layer, each with a default and given by name; a record would hide them"
    ),
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(node: ast.AST, inside: str = "") -> Iterator[tuple[str, Function, bool]]:
    """Each function under `node`: its qualified name, itself, and whether it stands in a class."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            yield f"{inside}{child.name}", child, isinstance(node, ast.ClassDef)
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


def num_parameters(function: Function, method: bool) -> int:
    """Parameters that a caller can give; of a `forward` none, since they are a batch's tensors, each by its name."""
    if method and function.name == "forward":
        return 0
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args]
    static = any(isinstance(mark, ast.Name) and mark.id == "staticmethod" for mark in function.decorator_list)
    bound = 1 if method and named and not static else 0
    starred = (arguments.vararg is not None) + (arguments.kwarg is not None)
    return len(named) - bound + len(arguments.kwonlyargs) + starred


def violations(path: Path, name: str) -> Iterator[tuple[str, str]]:
    """Each rule that the module breaks, as (what an exception would be listed under, what is wrong)."""
    if path.name in EMPTY_NAMES:
        yield f"{name}: name", f"{name}: says nothing of what is inside; name it for that"
    text = path.read_text(encoding="utf-8")
    if (lines := len(text.splitlines())) > MODULE_LINES:
        yield f"{name}: lines", f"{name}: {lines} lines, at most {MODULE_LINES}"
    for function, node, method in functions(ast.parse(text, filename=name)):
        where, at = f"{name}::{function}", f"{name}:{node.lineno}: {function}"
        if (lines := code_lines(node)) > FUNCTION_LINES:
            yield f"{where}: lines", f"{at} has {lines} lines, at most {FUNCTION_LINES}"
        if (count := num_parameters(node, method)) > PARAMETERS:
            yield f"{where}: parameters", f"{at} has {count} parameters, at most {PARAMETERS}"


def main() -> int:
    """Print what is too long; 1 if anything is."""
    found: dict[str, str] = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            found.update(violations(path, path.relative_to(ROOT).as_posix()))
    complaints = [message for key, message in found.items() if key not in EXCEPTIONS]
    complaints += [f"{key}: listed as an exception, but not needed" for key in EXCEPTIONS if key not in found]
    print("\n".join(complaints) or "All modules, functions and argument lists are within their limits.")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
