"""`vkood knowledge`: build stores of facts, look into them, and encode what is in them."""

import typer

from vkood.cli.knowledge import build, encode, lookup, stats

__all__ = ["app"]

app = typer.Typer(
    help="Facts: build a store, look a text up in it, encode it.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
app.add_typer(build.app, name="build")
app.command()(stats.stats)
app.command()(lookup.lookup)
app.command()(encode.encode)
