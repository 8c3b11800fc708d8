"""Build the site from `docs/`, and fail at a warning, a dead link, a public name without a page or a misread docstring.

    python scripts/build_docs.py [FOLDER]

FOLDER is where the pages go, `build/site` by default; its `index.html` is the first. The extra `docs` brings Sphinx.
Links between pages and to files of the checkout are followed; those that lead elsewhere are not.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import posixpath
import re
import sys
from pathlib import Path

from sphinx.cmd.build import build_main
from sphinx.util.inventory import InventoryFile

import vkood

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("solve", "mixture", "gating", "knowledge", "models", "pipelines", "tasks", "data", "metrics")
"""Rooms whose `__all__` is public; each has a page in `docs/api`."""


def public_names() -> set[str]:
    """Every public name; what `vkood` itself offers comes from a room or is one."""
    rooms = {room: importlib.import_module(f"vkood.{room}") for room in ROOMS}
    names = {name for module in rooms.values() for name in module.__all__}
    return names | {
        name for name in vkood.__all__ if name != "__version__" and not inspect.ismodule(getattr(vkood, name))
    }


def adapters() -> set[str]:
    """The classes of `vkood.integrations`, whose modules import frameworks that need not be here."""
    return {
        node.name
        for path in (ROOT / "src" / "vkood" / "integrations").glob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    }


def undocumented(site: Path) -> list[str]:
    """Public names that the site's index does not have.

    Args:
        site: The folder of the pages.
    """
    with (site / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", posixpath.join)  # pyright: ignore[reportArgumentType] - a file is one
    documented = {
        name.rsplit(".", 1)[-1]
        for kind, names in inventory.items()
        if kind.startswith("py:")
        for name in names
    }
    return sorted((public_names() | adapters()) - documented)


def misread_docstrings() -> list[str]:
    """Docstrings whose `Returns:` begins with a line with a colon: what is before it would be taken for a type."""
    first_line = re.compile(r"^ *(?:Returns|Yields):\n *[^\n]*:", re.MULTILINE)
    return [
        f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 2}"
        for path in sorted((ROOT / "src").rglob("*.py"))
        for text in [path.read_text(encoding="utf-8")]
        for match in first_line.finditer(text)
    ]


def main() -> int:
    """Build, and return 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build" / "site")
    site = parser.parse_args().folder
    if misread := misread_docstrings():
        print("Sphinx takes what is before the colon of these lines for a type:", *misread, sep="\n  ")
        return 1
    if build_main(["-b", "html", "-W", "--keep-going", "-q", "-E", str(ROOT / "docs"), str(site)]):
        return 1
    if missing := undocumented(site):
        print("Public names without a page in docs/api:", *missing, sep="\n  ")
        return 1
    print(
        f"{site / 'index.html'}: {len(list(site.rglob('*.html')))} pages, {len(public_names())} public names."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
