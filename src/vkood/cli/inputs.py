"""Checks of command-line inputs, before any work; bad ones are refused in one sentence."""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

import typer

from vkood.cli.uncaught import debugging, print_sentence
from vkood.extras import install_command

VQA_MODEL = "VkoodForVisualQuestionAnswering"
_TABLES = "*.arrow"
_OWNERS = {"run.yaml": "a training run", "config.json": "a model", _TABLES: "tables"}
"""By which files a folder is known to be taken."""


def refuse(reason: str) -> NoReturn:
    """Print one sentence to the standard error and leave with exit code 2."""
    if debugging() and sys.exc_info()[0] is not None:
        traceback.print_exc()
    print_sentence(reason)
    raise typer.Exit(2)


def require_packages(names: Iterable[str], *, extra: str = "demo") -> None:
    """Refuse to continue without the packages of an extra; nothing is imported.

    Args:
        names: The names under which they are imported.
        extra: The extra that brings them.
    """
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        refuse(f"packages are missing ({', '.join(missing)}); install them with {install_command(extra)}.")


def require_count(option: str, number: int | None, *, lowest: int = 0, highest: int | None = None) -> None:
    """Refuse a number that is out of range; None, for an option that was not given, is fine."""
    if number is None or (number >= lowest and (highest is None or number <= highest)):
        return
    upwards = "up" if highest is None else f"to {highest:,}"
    refuse(f"{option} must be a number from {lowest} {upwards}; got {number}.")


def require_output_folder(folder: Path, *, for_tables: bool = False) -> None:
    """Refuse a folder that holds something else, or where nothing can be written; nothing is created.

    Args:
        folder: The folder.
        for_tables: Whether tables are written, which may lie beside others.
    """
    require_writable(folder)
    for mark, what in _OWNERS.items():
        sign = next(folder.glob(mark), None)
        if sign is not None and not (for_tables and mark == _TABLES):
            refuse(
                f"--output must be a folder of its own, but {str(folder)!r} is that of {what}: it has a "
                f"{sign.name}."
            )


def require_writable(folder: Path) -> None:
    """Refuse an output folder that cannot be written to, or made; nothing is created."""
    if folder.exists() and not folder.is_dir():
        refuse(f"--output must be a folder, but {str(folder)!r} is a file.")
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        refuse(f"--output must be in a folder to write to; {str(there)!r} is not.")


def require_output_file(path: Path, inputs: Iterable[str | Path] = ()) -> None:
    """Refuse a file that cannot be written, or would take the place of an input; nothing is touched.

    Args:
        path: The file.
        inputs: The files that are read.
    """
    if any(_is_same(path, Path(file)) for file in inputs):
        refuse(f"--output must be another file than what is read: {str(path)!r} would be replaced.")
    folder = path.parent
    if path.is_dir():
        refuse(f"--output must be a file, but {str(path)!r} is a folder.")
    if not folder.is_dir():
        refuse(f"--output must be in a folder that exists, but there is no folder {str(folder)!r}.")
    if not os.access(folder, os.W_OK):
        refuse(f"--output must be in a folder that can be written to, but {str(folder)!r} cannot.")


def require_output_page(path: Path | None, inputs: Iterable[str | Path]) -> None:
    """Refuse a file that is not named as a page is, or is there and is none; None, for no page, is fine.

    Args:
        path: The page.
        inputs: The files that are read.
    """
    if path is None:
        return
    require_output_file(path, inputs)
    from vkood.reporting.pages import page_problem

    if problem := page_problem(path):
        refuse(f"--output {problem}")


def _is_same(path: Path, other: Path) -> bool:
    """Whether two names are of one file, also by links."""
    try:
        return path.samefile(other)
    except (OSError, ValueError):  # one of them is not there, or cannot be
        return False


def require_model_folder(name: str, folder: Path) -> None:
    """Refuse a folder without a model, and say where one is, as a run's folder has it.

    Args:
        name: The option or argument.
        folder: The folder.
    """
    if not (folder / "config.json").is_file():
        from vkood.files import inner_model

        refuse(
            f"{name} must be a folder with a model; {str(folder)!r} has no config.json.{inner_model(folder)}"
        )


def require_vqa_model(folder: Path) -> None:
    """Refuse a folder that does not hold a saved vkood model for VQA, by its files and their headers."""
    name = repr(str(folder))
    if not folder.exists():
        refuse(f"there is no model folder at {name}.")
    if not folder.is_dir():
        refuse(f"MODEL must be a folder, as `vkood demo --train` writes it, but {name} is a file.")
    require_model_folder("MODEL", folder)
    config = configuration_of(folder)
    names = architectures(config)
    if config.get("model_type") != "vkood" or VQA_MODEL not in names:
        kind = ", ".join(names) or config.get("model_type") or "unknown"
        refuse(f"MODEL must be a {VQA_MODEL}, but the model in {name} is of another kind ({kind}).")
    if not any((folder / file).is_file() for file in ("tokenizer.json", "tokenizer_config.json")):
        refuse(f"the model folder {name} has no tokenizer: save it there with `tokenizer.save_pretrained`.")
    _require_weights(folder)


def require_processor(folder: Path) -> None:
    """Refuse a model folder without a processor."""
    if not (folder / "processor_config.json").is_file():
        refuse(
            f"the model folder {str(folder)!r} has no processor, so how pictures are prepared is not known; `vkood "
            "train RECIPE evaluate_only=true model.checkpoint=FOLDER` takes the recipe's."
        )


def configuration_of(folder: Path) -> dict[str, Any]:
    """The content of a model folder's config.json, or a refusal."""
    from vkood.files import FileProblem, read_json_object

    require_model_folder("MODEL", folder)
    try:
        return read_json_object(folder / "config.json", what="configuration")
    except FileProblem as error:
        refuse(f"MODEL must be a folder with a model. {error}")


def architectures(config: dict[str, Any]) -> list[str]:
    """The class names in a configuration's `architectures`; empty without them."""
    names = config.get("architectures")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _require_weights(folder: Path) -> None:
    """Read the weights' header, which has the file's expected length."""
    if (folder / "model.safetensors.index.json").is_file():
        return  # in several files, which the loader checks
    path = folder / "model.safetensors"
    if not path.is_file():
        refuse(f"the model folder {str(folder)!r} has no weights: there is no model.safetensors.")
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np"):
            pass
    except (OSError, SafetensorError) as error:
        refuse(f"the weights {str(path)!r} are damaged: {error}.")
