"""`vkood predict`: what a model says of a picture and a text, with the facts that it went by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from vkood.cli.inputs import refuse, require_count, require_output_file


def predict(
    model: Annotated[Path, typer.Argument(help="A folder with a model and its processor.", metavar="MODEL")],
    image: Annotated[
        list[Path], typer.Option(help="The picture; given twice for visual reasoning.", metavar="FILE")
    ],
    text: Annotated[str, typer.Option(help="The question, sentence or caption.")],
    facts: Annotated[
        str,
        typer.Option(
            help="default, none, a store's file, or a text file with a fact a line.", metavar="FACTS"
        ),
    ] = "default",
    top: Annotated[int, typer.Option(help="How many answers to show.")] = 5,
    json_out: Annotated[
        Path | None, typer.Option("--json", help="Also write all of it.", metavar="FILE")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Also write a page to look at.", metavar="FILE")] = None,
) -> None:
    """Answer a question about a picture: ranked answers with probabilities, and each fact with its gate.

    The model is one of either family, as `vkood train` leaves it in `best`: one for visual reasoning answers "true" or
    "false", one for retrieval or pre-training whether the text matches the picture. No training files are needed.
    """
    require_count("--top", top, lowest=1)
    for option, path in (("--json", json_out), ("--html", html)):
        require_output_file(option, path)
    if not (model / "config.json").is_file():
        refuse(f"MODEL must be a folder with a model; {str(model)!r} has no config.json.")
    explanation = _explained(model, image, text, facts)
    told = {
        "text": text,
        "answers": [[answer, chance] for answer, chance in explanation.answers[:top]],
        "facts": [{"sentence": f.sentence, "gate": f.gate, "score": f.score} for f in explanation.facts],
    }
    for answer, chance in told["answers"]:
        typer.echo(f"{chance:7.3f}  {answer}")
    if told["facts"]:
        typer.echo("facts, by gate:")
    for fact in told["facts"]:
        typer.echo(f"{fact['gate']:7.3f}  {fact['sentence']}")
    from vkood import files

    if json_out is not None:
        files.write_text(json_out, json.dumps(told, indent=1) + "\n")
    if html is not None:
        files.write_text(html, f'<!doctype html><meta charset="utf-8">{explanation.to_html()}\n')


def _explained(folder: Path, images: list[Path], text: str, facts: str) -> Any:
    from transformers.utils import logging

    from vkood.models.loading import load_model

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        model: Any = load_model(folder)
        if not hasattr(model, "explain"):
            refuse(
                f"MODEL must be a model with a head; the one in {str(folder)!r} is a {type(model).__name__}."
            )
        return model.explain(images, text, _facts(facts))
    except (ValueError, OSError, ImportError) as error:
        refuse(str(error))


def _facts(told: str) -> Any:
    """Where facts come from, by a word or a file."""
    if told in ("default", "none"):
        return None if told == "none" else told
    path = Path(told)
    if path.suffix == ".txt":
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    from vkood.knowledge import FactStore

    return FactStore.open(path)
