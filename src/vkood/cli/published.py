"""The paper's own command lines, carried out as `vkood train`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence

import typer

from vkood.cli.inputs import require_packages
from vkood.cli.output import quieten_transformers, say
from vkood.cli.train import PACKAGES, carry_out, resolved
from vkood.cli.uncaught import answer_errors
from vkood.recipes.published import Translation, from_blip, from_vilt


def train_vilt(arguments: Sequence[str]) -> None:
    """Carry out `python vkood_vilt/train_vilt.py WORDS`."""
    _answered(lambda: _carry_out(from_vilt(arguments)))


def train_blip(arguments: Sequence[str]) -> None:
    """Carry out `python vkood_blip/train_vqa.py --config FILE --output_dir FOLDER [--evaluate] [key=value...]`."""
    parser = argparse.ArgumentParser(prog="vkood_blip/train_vqa.py", description=train_blip.__doc__)
    parser.add_argument("--config", default="./configs/vqa.yaml", help="a YAML file with BLIP's keys")
    parser.add_argument("--output_dir", default="output/vqa", help="the folder for results")
    parser.add_argument("--evaluate", action="store_true", help="evaluate only")
    parser.add_argument("changes", nargs="*", metavar="key=value", help="values of ours, which win")
    options = parser.parse_args(arguments)
    _answered(
        lambda: _carry_out(
            from_blip(options.config, options.output_dir, evaluate=options.evaluate, changes=options.changes)
        )
    )


def _carry_out(translation: Translation) -> None:
    """Carry out what a command means, and say what that is."""
    require_packages(PACKAGES, extra="train")
    quieten_transformers()
    if os.environ.get("RANK", "0") == "0":
        say(f"vkood {' '.join(translation.arguments)}", err=True)
    carry_out(resolved(translation.recipe, translation.words, None), translation.arguments)


def _answered(work: Callable[[], None]) -> None:
    """Do the work outside of Typer, whose exit carries the exit code."""
    try:
        with answer_errors():
            work()
    except typer.Exit as stop:
        raise SystemExit(stop.exit_code) from None
