"""`vkood knowledge build`: a store of facts out of a dump, a dictionary or a table."""

import typer

app = typer.Typer(help="Build a store of facts.", no_args_is_help=True, rich_markup_mode="markdown")


@app.callback()
def _build() -> None:
    """Build a store of facts out of a dump, a dictionary or a table."""
