"""A run's folder: whose it is, what is damaged in it, and what may be taken over."""

import json
import math
import os
import stat
import subprocess
import sys
from dataclasses import replace

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from vkood.train.callbacks import SCORES_FILE, KeepBest
from vkood.train.checkpoints import has_ended, is_whole, mark_whole, newest_whole
from vkood.train.record import (
    BEST,
    LAST,
    RESULTS_FILE,
    RUN_FILE,
    Ledger,
    MetricsLog,
    begin,
    is_finished,
    only_process,
    read_metrics,
)
from vkood.train.run import ModelOptions, OptimisationOptions, Run, RunError

RUN = Run(task="answering", optimisation=OptimisationOptions(batch_size=16))
OTHER = replace(RUN, optimisation=OptimisationOptions(batch_size=32))


def write_checkpoint(folder, step=4, **state):
    checkpoint = folder / "checkpoints" / f"checkpoint-{step}"
    checkpoint.mkdir(parents=True)
    (checkpoint / "model.safetensors").write_bytes(b"weights" * step)
    (checkpoint / "trainer_state.json").write_text(json.dumps(state))
    Ledger().write(checkpoint)
    mark_whole(checkpoint)
    return checkpoint


def snapshot(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def test_a_folder_is_not_written_to_before_the_run_begins(tmp_path):
    assert not is_finished(tmp_path / "a" / "run", RUN)
    assert not list(tmp_path.iterdir())
    begin(tmp_path / "a" / "run", RUN, checkpoint=None)
    assert not is_finished(tmp_path / "a" / "run", RUN)


def test_what_has_nothing_to_lose_is_taken_over(tmp_path):
    """A run that failed before its first checkpoint does not lock its folder; its numbers stay apart."""
    begin(tmp_path, OTHER, checkpoint=None)
    MetricsLog(tmp_path, after=0).add(1, {"loss": 9.0})
    half = tmp_path / "checkpoints" / "checkpoint-2"
    half.mkdir(parents=True)
    before = snapshot(tmp_path)
    assert not is_finished(tmp_path, RUN)
    assert snapshot(tmp_path) == before
    begin(tmp_path, RUN, checkpoint=None)
    assert not half.exists()
    assert read_metrics(tmp_path) == []
    assert not is_finished(tmp_path, RUN)


@pytest.mark.parametrize("work", ["checkpoint", "damaged checkpoint", BEST, LAST, RESULTS_FILE])
@pytest.mark.parametrize("record", ["another run", "damaged", "missing"])
def test_no_work_of_another_run_is_lost(tmp_path, work, record):
    begin(tmp_path, OTHER, checkpoint=None)
    if "checkpoint" in work:
        checkpoint = write_checkpoint(tmp_path)
        if work.startswith("damaged"):
            (checkpoint / "model.safetensors").write_bytes(b"")
    else:
        (tmp_path / work).mkdir()
    says = r"has another run \(optimisation.batch_size was 32, is 16\)"
    if record == "damaged":
        (tmp_path / RUN_FILE).write_bytes(b"task: [\0")
        says = "it is not known which run .* has"
    elif record == "missing":
        (tmp_path / RUN_FILE).unlink()
        says = "no run.yaml that says which"
    before = snapshot(tmp_path)
    with pytest.raises(RunError, match=says):
        is_finished(tmp_path, RUN)
    assert snapshot(tmp_path) == before


def test_what_does_not_change_the_result_may_change(tmp_path):
    """A smaller `device_batch_size` after running out of memory; but not where the texts of a batch are contrasted."""
    smaller = replace(
        RUN,
        model=ModelOptions(gradient_checkpointing=True),
        optimisation=OptimisationOptions(batch_size=16, device_batch_size=4, keep_checkpoints=3),
        num_gpus=0,
    )
    begin(tmp_path / "1", RUN, checkpoint=None)
    write_checkpoint(tmp_path / "1")
    assert not is_finished(tmp_path / "1", smaller)
    with pytest.raises(RunError, match="device_batch_size was 32, is 4"):
        is_finished(tmp_path / "1", smaller, same_device_batch=True)


def test_finished_and_damaged_results(tmp_path):
    begin(tmp_path, RUN, checkpoint=None)
    (tmp_path / RESULTS_FILE).write_text("{}")
    assert is_finished(tmp_path, RUN)
    for damaged in ("", "{", "[]", "\xff"):
        (tmp_path / RESULTS_FILE).write_text(damaged, encoding="latin-1")
        with pytest.raises(RunError, match=r"results\.json.*Delete it"):
            is_finished(tmp_path, RUN)


def test_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").touch()
    for output in ("file", "file/run"):
        with pytest.raises(RunError, match=r"must be a folder, but .* is a file"):
            is_finished(tmp_path / output, RUN)
    if os.geteuid():
        tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
        with pytest.raises(RunError, match="read-only"):
            is_finished(tmp_path / "run", RUN)


def damage(path, how):
    content = path.read_bytes()
    if how == "gone":
        path.unlink()
    elif how == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif how == "a folder":
        path.unlink()
        path.mkdir()
    elif how == "a pipe":
        path.unlink()
        os.mkfifo(path)
    else:
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])


@pytest.mark.parametrize("file", ["model.safetensors", "trainer_state.json", "ledger.json", "whole.json"])
@pytest.mark.parametrize("how", ["gone", "cut", "a folder", "a pipe", "one bit"])
def test_a_damaged_checkpoint_is_not_resumed_from(tmp_path, file, how):
    """The one before it is, and the damaged one is out of the way."""
    older, newer = write_checkpoint(tmp_path, 9), write_checkpoint(tmp_path, 10)
    assert newest_whole(tmp_path / "checkpoints") == newer
    damage(newer / file, how)
    assert not is_whole(newer)
    assert newest_whole(tmp_path / "checkpoints") == older
    begin(tmp_path, RUN, checkpoint=older)
    assert older.exists()
    assert not newer.exists()


def test_training_that_had_ended_is_known_to(tmp_path):
    def control(stopped):
        return {"stateful_callbacks": {"TrainerControl": {"args": {"should_training_stop": stopped}}}}

    assert not has_ended(write_checkpoint(tmp_path, 4, **control(False)), steps=5)
    assert has_ended(write_checkpoint(tmp_path, 5, **control(False)), steps=5)
    assert has_ended(write_checkpoint(tmp_path, 3, **control(True)), steps=5)


def test_damaged_logs(tmp_path):
    log = MetricsLog(tmp_path, after=0)
    log.add(1, {"loss": 2.0})
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(
            b'5\n[1]\n{"step": "x"}\n{"loss": 1}\n\xff\xfe\n'
            + b"[" * 9000
            + b'\n{"step": 2, "loss": "high"}\n{"st'
        )
    assert read_metrics(tmp_path) == [{"step": 1, "loss": 2.0}, {"step": 2}]
    MetricsLog(tmp_path, after=1)
    assert read_metrics(tmp_path) == [{"step": 1, "loss": 2.0}]


class Saved:
    """Stands in for what saves a model."""

    def __init__(self):
        self.scores = []

    def __call__(self, folder, scores):
        folder.mkdir(exist_ok=True)
        (folder / SCORES_FILE).write_text(scores)
        self.scores.append(json.loads(scores)["eval_accuracy"])


def evaluated(keeper, *scores):
    for step, score in enumerate(scores):
        state = TrainerState(global_step=step)
        keeper.on_evaluate(TrainingArguments("unused"), state, TrainerControl(), {"eval_accuracy": score})


def test_the_best_is_kept_also_after_a_restart(tmp_path):
    save = Saved()
    evaluated(KeepBest(tmp_path, "accuracy", save), 0.3, 0.5, 0.4, math.nan)
    evaluated(KeepBest(tmp_path, "accuracy", save), 0.4, 0.5, 0.6)
    assert save.scores == [0.3, 0.5, 0.6]


@pytest.mark.parametrize(
    "scores", [None, "", "{", "[]", "{}", '{"eval_accuracy": "high"}', '{"eval_accuracy": NaN}']
)
def test_a_best_model_of_unknown_scores_is_not_overwritten(tmp_path, scores):
    best = tmp_path / BEST
    best.mkdir()
    if scores is not None:
        (best / SCORES_FILE).write_text(scores)
    with pytest.raises(RunError, match=r"not known how good the best model .* Move the folder"):
        KeepBest(tmp_path, "accuracy", Saved())


_HOLDER = """
import sys
from pathlib import Path
from vkood.train.record import only_process
with only_process(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_one_process_s_until_it_ends_or_is_killed(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path / "run")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(RunError, match="another process trains in the folder"),
            only_process(tmp_path / "run"),
        ):
            pass
        holder.kill()
        holder.wait()
    for _ in range(2):
        with only_process(tmp_path / "run"):
            assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
