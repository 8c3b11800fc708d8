"""How much irrelevant knowledge a model bears, with and without gates.

python -m benchmarks.knowledge_noise --only main

Runs that the file of records has already are not run again, so a stopped benchmark goes on where it was.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from . import tables
from .parts import Bench, OutOfTime
from .records import Records
from .training import quiet

RESULTS = Path(__file__).parents[1] / "results"
PARTS = ("main", "fractions", "corrupted", "mosaic", "tokens")


def main() -> None:
    """Run what is asked for, and print its tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.knowledge_noise", description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", help="a part; all of them by default")
    parser.add_argument(
        "--quick", action="store_true", help="three arms, one seed, a file of its own: minutes"
    )
    parser.add_argument("--max-minutes", type=float, default=float("inf"), help="start no run after that")
    parser.add_argument("--records", type=Path, default=RESULTS / "knowledge_noise.jsonl")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "vkood-knowledge-noise")
    options = parser.parse_args()
    quiet()
    parts = ["quick"] if options.quick else options.only or list(PARTS)
    command = "python -m benchmarks.knowledge_noise" + (
        " --quick" if options.quick else "".join(f" --only {part}" for part in options.only or ())
    )
    path = options.scratch / "quick.jsonl" if options.quick else options.records
    bench = Bench(
        records=Records(path),
        scratch=options.scratch,
        command=command,
        deadline=time.monotonic() + 60 * options.max_minutes,
    )
    for part in parts:
        try:
            getattr(bench, part)()
        except OutOfTime:
            print(f"Out of time in the part {part!r}; the same command resumes from here.")
        tables.show(part, bench.records)


if __name__ == "__main__":
    main()
