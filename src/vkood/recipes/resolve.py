"""From the arguments of a command line to a run: a recipe, presets, and changes, in this order."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from vkood.recipes.presets import PRESETS
from vkood.recipes.tasks import RECIPES, published_splits
from vkood.spelling import nearest
from vkood.train.run import Run, RunError
from vkood.train.settings import from_yaml, with_changes

PUBLISHED_SPLITS = "published-splits"
"""The preset for the splits of the published loaders, which validate on the test split or on what is trained on."""


def resolve(recipe: str | None, words: Iterable[str] = (), config: str | Path | None = None) -> Run:
    """The run of a command line.

    Args:
        recipe: The recipe's name; may be None with `config`.
        words: Names of presets, and "key=value".
        config: A YAML file of a run, in place of the recipe's own values.

    Raises:
        RunError: If a word is neither a preset nor key=value, a key is unknown, or a value is of the wrong type; the
            error names the nearest one that there is.
    """
    if config is not None:
        run = from_yaml(config)
        if recipe is not None and run.recipe != recipe:
            raise RunError(f"{str(config)!r} is a run of the recipe {run.recipe!r}, not of {recipe!r}.")
    elif recipe in RECIPES:
        run = RECIPES[recipe]()
    else:
        raise RunError(f"there is no recipe {recipe!r}.{_nearest(recipe or '', list(RECIPES))}")
    presets, changes = _sorted_out(words)
    for preset in presets:
        if preset == PUBLISHED_SPLITS:
            run = published_splits(run)
            continue
        values = [f"{key}={value}" for key, value in PRESETS[preset].items()]
        run = with_changes(run, values, source=f"preset {preset}")
    run = with_changes(run, changes)
    return _with_home(run if run.output else replace(run, output=f"runs/{run.recipe}"))


def _with_home(run: Run) -> Run:
    """The run with `~` expanded in every path: shells leave it as it is behind "=", and YAML knows none."""
    expand, model = os.path.expanduser, run.model
    return replace(
        run,
        output=expand(run.output),
        data=replace(run.data, folder=expand(run.data.folder), fact_vectors=expand(run.data.fact_vectors)),
        model=replace(
            model,
            image=expand(model.image),
            text=expand(model.text),
            checkpoint=None if model.checkpoint is None else expand(model.checkpoint),
        ),
    )


def _sorted_out(words: Iterable[str]) -> tuple[list[str], list[str]]:
    presets: list[str] = []
    changes: list[str] = []
    for word in words:
        if "=" in word:
            changes.append(word)
        elif word in PRESETS or word == PUBLISHED_SPLITS:
            presets.append(word)
        else:
            names = [*PRESETS, PUBLISHED_SPLITS]
            raise RunError(f"{word!r} is neither a preset nor key=value.{_nearest(word, names)}")
    return presets, changes


def _nearest(word: str, names: Sequence[str]) -> str:
    near = nearest(word, names, cutoff=0.5)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else f" There are {', '.join(names)}."
