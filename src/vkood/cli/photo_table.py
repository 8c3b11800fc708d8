"""Explained photographs in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vkood.cli.output import plain

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from vkood.reporting.photo_explanation import JudgedFact, PhotoExplanation

_CONCEPTS = 8
_WIDE = 100
"""Columns from which reasons have one of their own."""


def print_photo(photo: PhotoExplanation, console: Console) -> None:
    """Print what a photograph shows, and its facts, those that are kept first.

    Args:
        photo: The explained photograph.
        console: Where to print.
    """
    from rich.table import Table
    from rich.text import Text

    from vkood.reporting.photo_explanation import CAUTION, reasons

    console.print(Text.assemble(plain(photo.name, "bold"), "  ", plain(photo.text, "cyan")), soft_wrap=True)
    for answer, chance in photo.answers[:_CONCEPTS]:
        console.print(Text.assemble(f"{chance:7.1%}  ", plain(answer, "bold"), (" (answer)", "dim")))
    console.print(_concepts(photo, _CONCEPTS))
    wide = console.width >= _WIDE
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("fact", ratio=None if wide else 1)
    table.add_column("margin", justify="right", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    if wide:
        table.add_column("reason", style="dim")
    for title, facts, style in (("kept", photo.kept, "green"), ("dropped", photo.dropped, "red")):
        if facts:
            table.add_row(Text(f"{title}: {len(facts)}", f"bold {style}"))
        for fact, reason in zip(facts, reasons(facts), strict=True):
            table.add_row(*_cells(fact, reason, style, wide))
    if table.row_count:
        console.print(table)
        console.print(plain(CAUTION, "dim"))
    for note in photo.notes:
        console.print(plain(note, "yellow"))


def print_summary(photos: Sequence[PhotoExplanation], console: Console) -> None:
    """Print a line or two about each photograph: what it shows, and an example of what is kept and dropped.

    Args:
        photos: The explained photographs.
        console: Where to print.
    """
    from rich.table import Table
    from rich.text import Text

    for photo in photos:
        console.print(
            Text.assemble(plain(photo.label, "bold"), "  ", plain(photo.text, "cyan")),
            soft_wrap=True,
        )
        console.print(_concepts(photo, 4))
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(ratio=1)
        table.add_column(justify="right", no_wrap=True)
        for title, facts, style in (("kept", photo.kept, "green"), ("dropped", photo.dropped[::-1], "red")):
            for place, fact in enumerate(facts[:2]):
                count = Text(f"{title} {len(facts)}" if place == 0 else "", style)
                table.add_row(count, plain(fact.sentence), Text(f"{fact.margin:+.2f}", style))
        console.print(table)


def _concepts(photo: PhotoExplanation, number: int) -> Text:
    shown = ", ".join(f"{concept} {probability:.0%}" for concept, probability in photo.concepts[:number])
    return plain(f"shows {shown}", "dim")


def _cells(fact: JudgedFact, reason: str, style: str, wide: bool) -> list[RenderableType]:
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    numbers = [Text(f"{fact.margin:+.2f}", style), Text(f"{fact.score:.2f}", "dim")]
    sentence = plain(fact.sentence)
    if wide:
        return [sentence, *numbers, plain(reason, "dim")]
    return [Group(sentence, Padding(plain(reason, "dim"), (0, 0, 0, 2))) if reason else sentence, *numbers]
