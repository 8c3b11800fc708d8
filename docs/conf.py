"""Configuration of the site: `python scripts/build_docs.py` builds it, and fails at the first warning."""

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from docutils import nodes

import vkood

ROOT = Path(__file__).resolve().parent.parent
REPOSITORY = "https://github.com/vkood/vkood"

project = "vkood"
author = "the vkood developers"
copyright = author
version = release = vkood.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]

# Docstrings write code in single backticks.
default_role = "code"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
# What adapters are for need not be installed where the site is built.
autodoc_mock_imports = ["langchain_core", "llama_index", "lmms_eval", "pytorch_ood"]
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_attr_annotations = False
add_module_names = False
# Names of dimensions ("batch answers") are looked up as if they were classes, and some are attributes of several.
suppress_warnings = ["ref.python"]
toc_object_entries_show_parents = "hide"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"vkood {version}"
html_theme_options = {
    "source_repository": f"{REPOSITORY}/",
    "source_branch": "main",
    "source_directory": "docs/",
}
html_copy_source = False
html_show_sphinx = False


class _Component:
    """Haystack's decorator, which autodoc's own stand-in would put in the place of what it decorates."""

    def __call__(self, decorated: Any) -> Any:
        return decorated

    def output_types(self, **_: Any) -> Any:
        return self


_haystack: Any = ModuleType("haystack")
_haystack.component, _haystack.Document = _Component(), type("Document", (), {})
sys.modules.setdefault("haystack", _haystack)

_OUTWARD = re.compile(r"\]\(((?:\.\./)+)([^)#]*)(#[^)]*)?\)")
"""A link of a page that leads upwards."""


def _lead_out(app: Any, page: str, source: list[str]) -> None:
    """Let links that leave the pages, which work in the checkout, lead to the repository.

    Raises:
        ValueError: If there is no such file.
    """
    folder = (ROOT / "docs" / page).parent

    def target(match: re.Match[str]) -> str:
        up, rest, anchor = match.groups()
        path = (folder / up / rest).resolve()
        if not path.exists():
            raise ValueError(f"docs/{page}.md links to {up}{rest}, which is not there.")
        if path.is_relative_to(ROOT / "docs") or path == ROOT / "CHANGELOG.md":
            return match.group()
        kind = "tree" if path.is_dir() else "blob"
        return f"]({REPOSITORY}/{kind}/main/{path.relative_to(ROOT)}{anchor or ''})"

    source[0] = _OUTWARD.sub(target, source[0])


def _titled(app: Any, doctree: nodes.document, page: str) -> None:
    """Let links whose text is a page's file, which says where it lies in the checkout, show the page's title."""
    for link in doctree.findall(nodes.reference):
        file = re.fullmatch(r"(?:docs/)?([\w/-]+)\.md", link.astext())
        if file and file[1] in app.env.titles:
            link[:] = [nodes.Text(app.env.titles[file[1]].astext())]


def _as_written(app: Any, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Let a docstring's bars and stars of formulas and shapes stand for themselves."""
    for number, line in enumerate(lines):
        parts = line.split("`")
        parts[::2] = [re.sub(r"(?<![*\\])([|]|\*(?=\w)(?<!\*\*))", r"\\\1", part) for part in parts[::2]]
        lines[number] = "`".join(parts)


def setup(app: Any) -> None:
    """Connect what the pages and the docstrings need."""
    app.connect("source-read", _lead_out)
    app.connect("doctree-resolved", _titled)
    app.connect("autodoc-process-docstring", _as_written, priority=100)
