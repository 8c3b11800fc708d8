"""`vkood predict`: a model's answers about a picture and a text, with the gate of each fact."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from vkood.cli.inputs import refuse, require_count, require_model_folder, require_output_page
from vkood.cli.options import Json
from vkood.cli.output import print_json, say
from vkood.cli.uncaught import interruptible

MAX_ANSWERS = 100  # the number that an explanation has
MAX_FACTS = 10_000
_MAX_FACT_BYTES = 16 * 2**20


def predict(
    model: Annotated[Path, typer.Argument(help="A folder with a model and its processor.", metavar="MODEL")],
    image: Annotated[
        list[Path], typer.Option(help="The picture; given twice for visual reasoning.", metavar="FILE")
    ],
    text: Annotated[str, typer.Option(help="The question, sentence or caption.", metavar="TEXT")],
    facts: Annotated[
        str,
        typer.Option(
            help="default, none, a store's file, or a UTF-8 text file (.txt) with a fact a line.",
            metavar="FACTS",
        ),
    ] = "default",
    fact_cache: Annotated[
        Path | None,
        typer.Option(
            help="Folder in which vectors of facts are kept; by default the processor's, or that of $VKOOD_CACHE, or "
            "~/.cache/vkood.",
            metavar="FOLDER",
        ),
    ] = None,
    top: Annotated[int, typer.Option(help="Number of answers to show.", metavar="N")] = 5,
    output: Annotated[
        Path | None, typer.Option(help="Also write an HTML page with the picture.", metavar="FILE")
    ] = None,
    as_json: Json = False,
) -> None:
    """Answer a question about a picture: ranked answers with probabilities, and each fact with its gate.

    The model is one of either family, as `vkood train` leaves it in `best`: one for visual reasoning answers "true" or
    "false", one for retrieval or pre-training whether the text matches the picture. No training files are needed.
    """
    require_count("--top", top, lowest=1, highest=MAX_ANSWERS)
    require_output_page(output, [*image, os.path.expanduser(facts)])
    if not text.strip():
        refuse(f"--text must be a question, sentence or caption; got {text!r}.")
    require_model_folder("MODEL", model)
    with interruptible("nothing was written"):
        explanation = _explained(model, image, text, facts, fact_cache)
    record = {
        "text": text,
        "answers": [[answer, chance] for answer, chance in explanation.answers[:top]],
        "facts": [
            fact.fact.as_dict() | {"gate": fact.gate, "score": fact.score} for fact in explanation.facts
        ],
    }
    if as_json:
        print_json(record)
    else:
        _print(record)
    if output is not None:
        from vkood.files import write_text

        write_text(output, explanation.to_page())


def _print(record: dict[str, Any]) -> None:
    for answer, chance in record["answers"]:
        say(f"{chance:7.3f}  {answer}")
    if record["facts"]:
        say("facts, by gate:")
    for fact in record["facts"]:
        say(f"{fact['gate']:7.3f}  {fact['sentence']}")


def _explained(folder: Path, images: list[Path], text: str, facts: str, fact_cache: Path | None) -> Any:
    from vkood.images import decode_image

    try:
        source = _facts(facts)
        pictures = [decode_image(image, name="--image") for image in images]
    except (ValueError, OSError) as error:
        refuse(str(error))

    from vkood.models.loading import load_model

    try:
        model: Any = load_model(folder)
        if not hasattr(model, "explain"):
            refuse(
                f"MODEL must be a model with a head; the one in {str(folder)!r} is a {type(model).__name__}."
            )
        if fact_cache is not None:
            model.processor.fact_cache = str(fact_cache)
        return model.explain(pictures, text, source)
    except (ValueError, OSError, ImportError) as error:
        refuse(str(error))


def _facts(option: str) -> Any:
    """The source of facts by its name: default, none, or a file."""
    if option == "none":
        return None
    if option == "default":
        return option
    path = Path(os.path.expanduser(option))
    if path.suffix == ".txt":
        return _sentences(path)
    from vkood.knowledge import FactStore

    try:
        return FactStore.open(path)
    except (ValueError, OSError) as error:
        refuse(f"{error} --facts must be default, none, a store, or a text file (.txt) with a fact a line.")


def _sentences(path: Path) -> list[str]:
    from vkood.files import read_text

    lines = read_text(path, what="file of facts", max_bytes=_MAX_FACT_BYTES).splitlines()
    sentences = [line.strip() for line in lines if line.strip()]
    if not 1 <= len(sentences) <= MAX_FACTS:
        refuse(
            f"--facts must have from 1 to {MAX_FACTS:,} facts, one a line; {str(path)!r} has {len(sentences):,}."
        )
    return sentences
