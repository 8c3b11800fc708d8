"""The parts of the benchmark: which runs each of them wants."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import contexts
from .arms import ARMS, Arm
from .materials import Materials, load_materials
from .mosaic import MOSAIC, MOSAIC_ARMS, MOSAIC_DEFAULT, SCHEDULES, SCREEN, SCREEN_RATE
from .records import Record, Records, setting
from .training import Plan, Run, Schedule

RATES = (1e-3, 2e-3, 4e-3)
SEEDS = (0, 1, 2)
FRACTIONS = (0.1, 0.25, 0.5)
SINGLE = Plan(steps=1200)


class OutOfTime(Exception):
    """No more runs are to be started."""


@dataclass
class Bench:
    """Runs what is not there yet.

    Attributes:
        records: What is there.
        scratch: A folder for what runs share.
        command: For the records.
        deadline: No run is started after this moment of `time.monotonic`.
    """

    records: Records
    scratch: Path
    command: str
    deadline: float
    _materials: dict[int, Materials] = field(default_factory=dict)

    def run(
        self,
        part: str,
        name: str,
        arm: Arm,
        plan: Plan,
        *,
        rate: float,
        seed: int,
        fraction: float = 1.0,
        schedule: Schedule | None = None,
    ) -> Record:
        """The record of a run, from the file or new.

        Raises:
            OutOfTime: If it is not there and the time is up.
        """
        key = {
            "part": part,
            "arm": name,
            "learning_rate": rate,
            "seed": seed,
            "fraction": fraction,
            "steps": plan.steps,
        }
        runs = self.records.find(**key)
        if runs:
            return runs[0]
        if time.monotonic() > self.deadline:
            raise OutOfTime
        if seed not in self._materials:
            self._materials[seed] = load_materials(self.scratch, seed)
        try:
            result = Run(self._materials[seed], arm, plan, seed, schedule).record(rate, fraction)
        except ValueError as error:  # the gate's, when a training that diverged has left no finite weights
            result = {"failed": str(error)}
        record = key | {"batch_size": plan.batch_size} | result | setting(self.command)
        self.records.add(record)
        print(_line(record), flush=True)
        return record

    def tuned(self, name: str) -> float:
        """The rate of an arm with the best held-out accuracy with seed 0, over no flood and a flood of 48."""
        runs = {rate: self.run("main", name, ARMS[name], SINGLE, rate=rate, seed=0) for rate in RATES}
        return max(RATES, key=lambda rate: held_out(runs[rate]))

    def main(self) -> None:
        """Every arm, tuned, with every seed."""
        rates = {name: self.tuned(name) for name in reversed(ARMS)}
        for seed in SEEDS:
            for name, rate in rates.items():
                self.run("main", name, ARMS[name], SINGLE, rate=rate, seed=seed)

    def corrupted(self) -> None:
        """The first seeds of the main part, whose records have the corrupted contexts as well."""
        for seed in SEEDS:
            for name in ARMS:
                self.run("main", name, ARMS[name], SINGLE, rate=self.tuned(name), seed=seed)

    def fractions(self) -> None:
        """Every arm at its rate on fewer pictures; all of them are the main part's."""
        for seed in SEEDS:
            for fraction in FRACTIONS:
                for name in ARMS:
                    rate = self.tuned(name)
                    self.run("main", name, ARMS[name], SINGLE, rate=rate, seed=seed, fraction=fraction)

    def mosaic(self) -> None:
        """Screen all arms briefly with seed 0, tune the best of each kind; three seeds of them and of the default."""
        screened = {
            name: last_loss(self._mosaic(name, SCREEN, rate=SCREEN_RATE, seed=0)) for name in MOSAIC_ARMS
        }
        for kind, number in (("mixture", 3), ("kernel", 2)):
            # By their loss: accuracies differ too little so early, and no example is ever seen twice.
            names = sorted((name for name in screened if name.startswith(kind)), key=screened.__getitem__)
            runs = [
                self._mosaic(name, MOSAIC, rate=rate, seed=0) for name in names[:number] for rate in RATES
            ]
            best = max(runs, key=held_out)
            for seed in SEEDS:
                self._mosaic(best["arm"], MOSAIC, rate=best["learning_rate"], seed=seed)
        for seed in SEEDS:  # at one rate, since nothing of it is tuned
            self._mosaic(MOSAIC_DEFAULT, MOSAIC, rate=SCREEN_RATE, seed=seed)

    def _mosaic(self, name: str, plan: Plan, *, rate: float, seed: int) -> Record:
        arm, schedule = MOSAIC_ARMS[name], SCHEDULES.get(name)
        return self.run("mosaic", name, arm, plan, rate=rate, seed=seed, schedule=schedule)

    def tokens(self) -> None:
        """Time and memory of long contexts."""
        for name in contexts.LAYERS:
            for num_tokens in contexts.TOKENS:
                for num_candidates in contexts.CANDIDATES:
                    key = {"part": "tokens", "arm": name, "tokens": num_tokens, "candidates": num_candidates}
                    if self.records.find(**key):
                        continue
                    if time.monotonic() > self.deadline:
                        raise OutOfTime
                    measured = contexts.measure(name, num_tokens, num_candidates)
                    self.records.add(key | measured | setting(self.command))

    def quick(self) -> None:
        """Three arms with seed 0 at one rate."""
        for name in ("unfiltered", "kernel gate", "mixture, LastIterate"):
            self.run("main", name, ARMS[name], SINGLE, rate=2e-3, seed=0)


def held_out(record: Record) -> float:
    """Mean held-out accuracy, over no flood and a flood of 48; 0 of a training that diverged."""
    if "failed" in record:
        return 0.0
    return sum(record["held_out"].values()) / len(record["held_out"])


def last_loss(record: Record) -> float:
    """Mean loss of the last steps; infinite of a training that diverged."""
    return math.inf if "failed" in record else record["curve"][-1][1]


def _line(record: Record) -> str:
    if "failed" in record:
        return f"{record['part']:8} {record['arm'][:40]:40} seed {record['seed']}: {record['failed']}"
    test = record["test"]["irrelevant"]
    reached = record["steps_to_95"]
    return (
        f"{record['part']:8} {record['arm'][:40]:40} rate {record['learning_rate']:g} seed {record['seed']} "
        f"fraction {record['fraction']:g}: held out {held_out(record):.3f}; test "
        + ", ".join(f"{number} {accuracy:.3f}" for number, accuracy in test.items())
        + f"; 95 % at {reached}; {record['cpu_seconds']:.0f} s"
    )
