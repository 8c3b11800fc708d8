"""HTML that needs nothing else: Jinja templates, one style sheet, and every text escaped."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from vkood.escaping import printable
from vkood.files import FileProblem, open_regular
from vkood.reporting.pictures import jpeg_address, png_address

TEMPLATES = Path(__file__).with_name("templates")
"""The page that others extend (`page.html.jinja`), macros for tables and figures, and the style sheet."""

_ENDINGS = (".html", ".htm")
_START = 512


def render(template: Path, values: Mapping[str, Any]) -> str:
    """Render a template.

    Every value is escaped, and characters that are invisible or change the direction of writing are shown as escapes.

    Args:
        template: The template's file; it may extend and import the templates of `TEMPLATES`.
        values: What it shows; a missing value is an error.
    """
    return _environment(template.parent).get_template(template.name).render(values)


def page_problem(path: str | Path) -> str | None:
    """Why a page must not be written to a file: what the file must be, and is not; None if it may.

    Args:
        path: The file. It may be there if it is an earlier page.
    """
    path = Path(path)
    if path.suffix.lower() not in _ENDINGS:
        return (
            f"must have a name that ends in {' or '.join(_ENDINGS)}, since it is a page; got {str(path)!r}."
        )
    try:
        with open_regular(path, what="page") as file:
            start = file.read(_START).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    except FileNotFoundError:
        return None
    except FileProblem as error:
        return f"must be a file to write to. {error}"
    if start and not start.startswith((b"<!doctype html", b"<html")):
        return f"must be a new file or an earlier page, but {str(path)!r} holds something else."
    return None


@functools.cache
def _environment(folder: Path) -> Environment:
    environment = Environment(
        loader=FileSystemLoader([folder, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"jpeg_address": jpeg_address, "png_address": png_address, "number": format_number}
    return environment


def _visible(value: Any) -> Any:
    """A text, with line breaks, without characters that act on what shows it."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "\n".join(map(printable, value.split("\n")))


def format_number(value: int | float) -> str:
    """A number with thousands separated, or with four digits."""
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"
