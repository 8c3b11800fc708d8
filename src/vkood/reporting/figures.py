"""Figures in pages: drawn with matplotlib for light and for dark pages, with a text that says what they show."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Ink:
    """The colours of one mode; colour-blind readers can tell those of lines apart (Okabe and Ito).

    Attributes:
        text: Texts.
        faint: Grids and frames.
        blue: The first line, what matters most.
        orange: The second.
        grey: The third.
    """

    text: str
    faint: str
    blue: str
    orange: str
    grey: str


LIGHT = Ink(text="#22262b", faint="#d5d9de", blue="#0064a6", orange="#c2500a", grey="#6b7280")
DARK = Ink(text="#e4e7eb", faint="#3a414a", blue="#63b9f2", orange="#f0a35e", grey="#a3abb5")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A figure as the macro `drawing` shows it.

    Attributes:
        light: The address that holds the drawing for light pages.
        dark: That for dark ones.
        alt: What it shows, in words and numbers.
    """

    light: str
    dark: str
    alt: str


def drawing(draw: Callable[[Ink], Figure], alt: str) -> Drawing:
    """Draw a figure for light and for dark pages.

    Args:
        draw: Makes the figure in the colours of a mode.
        alt: What it shows, in words and numbers.
    """
    return Drawing(light=_svg_address(draw(LIGHT)), dark=_svg_address(draw(DARK)), alt=alt)


def style_axes(axes: Axes, ink: Ink) -> None:
    """Take away what carries no information, and draw the rest in the mode's colours."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(ink.faint)
    axes.grid(visible=True, axis="y", color=ink.faint, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=ink.text)
    for label in (axes.xaxis.label, axes.yaxis.label, axes.title):
        label.set_color(ink.text)


def _svg_address(figure: Figure) -> str:
    content = io.BytesIO()
    # The salt makes the same figure the same file.
    with matplotlib.rc_context({"svg.hashsalt": "vkood"}):
        figure.savefig(content, format="svg", transparent=True, metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(content.getvalue()).decode()}"
