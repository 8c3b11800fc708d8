"""`python -m tests.campaign`: run a campaign, and print the number of cases by verdict."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections import Counter, defaultdict
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # what tests share, as pytest has it

from .campaign import cases_of
from .kinds import KINDS
from .kit import build_kit
from .server import Outcome, load_libraries, run
from .verdicts import VERDICTS

_EXAMPLES = 6


def main() -> int:
    """Run the campaign; the exit code is 1 if there are faults."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("--cases", type=int, default=2000, help="how many cases")
    parser.add_argument("--seed", type=int, default=0, help="of the cases")
    parser.add_argument("--jobs", type=int, default=2, help="how many run at a time")
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="only these kinds")
    parser.add_argument("--number", type=int, help="only the case of this number, and keep its folder")
    parser.add_argument(
        "--kit", type=Path, help="a folder in which the sound inputs are kept from run to run"
    )
    parser.add_argument("--work", type=Path, help="where the folders of cases that show faults are kept")
    parser.add_argument("--json", type=Path, help="write all outcomes to this file")
    options = parser.parse_args()

    root = options.work or Path(tempfile.mkdtemp(prefix="vkood-campaign."))
    root.mkdir(parents=True, exist_ok=True)
    kit = options.kit or root / "kit"
    load_libraries()
    build_kit(kit)
    cases = cases_of(options.kind or list(KINDS), options.cases, options.seed, kit)
    if options.number is not None:
        cases = (case for case in cases if case[1] == options.number)
    outcomes = []
    for outcome in run(
        cases, root / f"seed-{options.seed}", jobs=options.jobs, keep=options.number is not None
    ):
        outcomes.append(outcome)
        if outcome.verdict != "well" or options.number is not None:
            print(
                f"{outcome.verdict}: {outcome.kind} {outcome.number} ({outcome.name}): {outcome.sentence[:300]}",
                flush=True,
            )
    _print(outcomes)
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1) + "\n")
    faults = sum(outcome.verdict != "well" for outcome in outcomes)
    if faults or options.number is not None:
        print(f"the folders of cases that show faults are in {root}")
    elif options.work is None:
        shutil.rmtree(root)
    return int(faults > 0)


def _print(outcomes: list[Outcome]) -> None:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for outcome in outcomes:
        counts[outcome.kind][outcome.verdict] += 1
        counts["all"][outcome.verdict] += 1
    verdicts = [
        name
        for name in VERDICTS
        if name in ("well", "unexpected", "traceback", "wrong acceptance", "hang", "memory", "code run")
        or counts["all"][name]
    ]
    width = max(map(len, counts), default=0)
    print(f"\n{'kind':{width}}  tried  " + "  ".join(verdicts))
    for kind, verdict_counts in counts.items():
        numbers = "  ".join(f"{verdict_counts[name]:>{len(name)}}" for name in verdicts)
        print(f"{kind:{width}}  {verdict_counts.total():>5}  {numbers}")
    slowest = sorted(outcomes, key=lambda outcome: -outcome.seconds)[:3]
    print("slowest: " + "; ".join(f"{o.kind} {o.number} ({o.name}): {o.seconds:.0f} s" for o in slowest))
    for name in VERDICTS[1:]:
        examples = [outcome for outcome in outcomes if outcome.verdict == name]
        for outcome in examples[:_EXAMPLES]:
            print(
                f"{name}: {outcome.kind} {outcome.number}, {outcome.name}\n"
                f"    vkood {' '.join(outcome.arguments)[:300]}\n"
                f"    {outcome.sentence[:400]}"
            )


if __name__ == "__main__":
    sys.exit(main())
