"""The panes of the app's page: templates, in which every text is escaped."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from vkood.reporting.pages import TEMPLATES, render
from vkood.reporting.photo_explanation import PhotoExplanation
from vkood.reporting.pictures import jpeg_address

_OWN = Path(__file__).with_name("templates")
_THUMBNAIL = 160


def heading(*, answers: bool) -> str:
    """What stands above the page."""
    return render(_OWN / "heading.html.jinja", {"answers": answers})


def message(text: str) -> str:
    """A sentence about what cannot be done."""
    return render(_OWN / "message.html.jinja", {"message": text})


def nothing_yet() -> str:
    """What stands in place of the table before there is a photograph."""
    return render(_OWN / "nothing.html.jinja", {})


def photograph(shown: PhotoExplanation) -> str:
    """The photograph, and what it shows."""
    values = shown.template_values()
    return render(
        _OWN / "photograph.html.jinja",
        {
            "shown": shown,
            "picture": values["picture"],
            "concepts_shown": values["concepts"],
            "caution": values["caution"],
        },
    )


def facts(shown: PhotoExplanation, *, answered_at: float | None = None) -> str:
    """The table of facts.

    Args:
        shown: What is known.
        answered_at: The threshold by which a model was given its facts; None without a model.
    """
    values = {
        "shown": shown,
        "widest": shown.template_values()["widest"],
        "answered_at": None if answered_at == shown.threshold else answered_at,
    }
    return render(_OWN / "facts.html.jinja", values)


def answers(shown: PhotoExplanation) -> str:
    """What the model answers, and where the components of the fit lie; empty without a model."""
    if shown.model is None:
        return ""
    return render(_OWN / "answers.html.jinja", {"shown": shown.model.template_values()})


def style() -> str:
    """The style sheet of pages and of the app."""
    return "\n".join(path.read_text(encoding="utf-8") for path in (TEMPLATES / "style.css", _OWN / "app.css"))


def script(name: str) -> str:
    """A script of the app."""
    return (_OWN / name).read_text(encoding="utf-8")


def example_style(examples: dict[str, Path]) -> str:
    """Rules that show each example's picture in its button."""
    rules = []
    for name, path in examples.items():
        with Image.open(path) as picture:
            small = picture.convert("RGB")
        small.thumbnail((_THUMBNAIL, _THUMBNAIL))
        rules.append(f'#example-{name} {{ background-image: url("{jpeg_address(small)}"); }}')
    return "\n".join(rules)
