"""Train by the Hugging Face Trainer: a run resumes from its last complete checkpoint, and ends as if unbroken."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from safetensors import safe_open
from torch.utils.data import Sampler
from transformers import EarlyStoppingCallback, PrinterCallback, ProgressCallback, Trainer, TrainingArguments
from transformers.integrations.integration_utils import TensorBoardCallback
from typing_extensions import override

from vkood.data.rows import Rows
from vkood.files import write_text
from vkood.models.card import CardDetails, write_card
from vkood.models.gate_watch import GateWatch
from vkood.models.loading import LoadingError, load_model, require_finite
from vkood.tasks import Task
from vkood.tasks.ranks import gathered, rank, world_size
from vkood.train.arguments import RunArguments, on_cpu, run_arguments
from vkood.train.assembly import Assembly, Log, assemble
from vkood.train.building import plain
from vkood.train.callbacks import SCORES_FILE, Checkpoints, Epochs, KeepBest, RunLog, save_to
from vkood.train.checkpoints import all_checkpoints, has_ended, how_to_resume, newest_whole, steps_of
from vkood.train.gate_loss import attention_to_facts, gate_loss, weight_at
from vkood.train.launch import is_launched
from vkood.train.record import (
    BEST,
    LAST,
    RESULTS_FILE,
    Ledger,
    MetricsLog,
    begin,
    is_finished,
    only_process,
    write_predictions,
)
from vkood.train.run import Run, RunError, require_possible, steps_of_epoch, with_task
from vkood.train.sharding import WholeCopy


def train(run: Run, log: Log = lambda line: None, task: Task | None = None) -> Path:
    """Carry out a run, or resume it.

    Args:
        run: The run. What its folder holds afterwards: `run.yaml`, `environment.json`, `metrics.jsonl`, `ledger.json`,
            `tensorboard`, `checkpoints`, the models `best` and `last`, `predictions`, `results.json`, `report.html`.
        log: Called with what is going on.
        task: The run's task; None for the one that it names.

    Returns:
        The run's folder.

    Raises:
        RunError: If the run cannot be, or its folder has another one. Nothing is written then.
        KeyboardInterrupt: After Ctrl-C; its message says how to resume.
    """
    run = run if task is None else with_task(run, task)
    task = require_possible(run, task)
    if is_launched():
        join(run)
    folder = run.folder
    log = log if rank() == 0 else _silent
    finished = rank() == 0 and is_finished(folder, run, same_device_batch=task.momentum_encoder)
    if any_process(finished):
        log(
            f"{folder} is finished already: its numbers are in {folder / RESULTS_FILE}, and its model in "
            f"{folder / BEST}; to train again, give another `output=`, or remove this folder"
        )
        return folder
    times = [time.monotonic()]
    assembly = assemble(run, log, task)
    assert assembly.train is not None
    arguments = run_arguments(
        run,
        folder,
        num_examples=examples_of_epoch(assembly.train, run.data.texts_per_image),
        metric=None if assembly.validation is None else task.metric,
    )
    with only_process(folder) if rank() == 0 else nullcontext():
        checkpoint = _resumed(folder, run, log)
        try:
            trainer, ledger = _trainer(assembly, arguments, folder, checkpoint, log)
            if checkpoint is not None:
                ledger.resume(checkpoint)
            times.append(time.monotonic())
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
            trainer.keep(folder / LAST)
            times.append(time.monotonic())
            _finish(assembly, trainer, ledger, folder, log)
            loaded, trained, finished = np.diff([*times, time.monotonic()])
            log(
                f"took {loaded:.0f} s to load, {trained:.0f} s to train and validate, {finished:.0f} s to evaluate"
            )
        except KeyboardInterrupt:
            raise KeyboardInterrupt(how_to_resume(folder / "checkpoints")) from None
    return folder


def _resumed(folder: Path, run: Run, log: Log) -> Path | None:
    """The checkpoint to resume from, if any; the first process looks for it, and then makes the folder the run's."""
    step = -1
    if rank() == 0:
        checkpoint = newest_whole(folder / "checkpoints")
        step = -1 if checkpoint is None else steps_of(checkpoint)
        damaged = [path for path in all_checkpoints(folder / "checkpoints") if steps_of(path) > step]
        for path in damaged:
            log(f"{path} is incomplete or damaged, and is removed")
        log("begins with the first step" if checkpoint is None else f"resumes from {checkpoint}")
        begin(folder, run, checkpoint=checkpoint)
    step = gathered(step)[0]
    return None if step < 0 else folder / "checkpoints" / f"checkpoint-{step}"


def join(run: Run) -> None:
    """Join the other processes of a run that a launcher has started."""
    from accelerate import PartialState

    PartialState(cpu=on_cpu(run))


def any_process(condition: bool) -> bool:
    """Whether a condition holds in any process."""
    if world_size() == 1:
        return condition
    count = torch.tensor(int(condition), device=None if dist.get_backend() == "gloo" else "cuda")
    dist.all_reduce(count)
    return bool(count)


def examples_of_epoch(rows: Rows, per_image: int) -> int:
    """How many texts an epoch has: all, or so many of each image."""
    return len(rows) if per_image == 1 else per_image * len(np.unique(rows.image_index))


class _WholeSteps(Sampler[int]):
    """The order of an epoch, which depends on the seed and the epoch alone, so that it is the same when resumed.

    What is over a whole number of steps is left out, other examples in each epoch, on however many devices.
    """

    def __init__(self, rows: Rows, run: Run) -> None:
        self._rows, self._seed, self._per_image = rows, run.optimisation.seed, run.data.texts_per_image
        num_examples = examples_of_epoch(rows, self._per_image)
        self._length = steps_of_epoch(run, num_examples) * run.optimisation.batch_size

    def __len__(self) -> int:
        return self._length

    @override
    def __iter__(self) -> Iterator[int]:
        generator = np.random.default_rng((self._seed, self._rows.epoch))
        if self._per_image == 1:
            return iter(generator.permutation(len(self._rows))[: self._length].tolist())
        return self._by_image(generator)

    def _by_image(self, generator: np.random.Generator) -> Iterator[int]:
        """Images in random order, of each some of its texts; an image that has fewer repeats them."""
        _, starts, counts = np.unique(self._rows.image_index, return_index=True, return_counts=True)
        for image in generator.permutation(len(starts))[: self._length // self._per_image].tolist():
            texts = starts[image] + generator.permutation(counts[image])
            yield from np.resize(texts, self._per_image).tolist()


class _Trainer(Trainer):
    """The Hugging Face Trainer with a task's own loss and evaluation."""

    def __init__(self, assembly: Assembly, *, has_ended: bool, log: Log, **options: Any) -> None:
        whole = WholeCopy(assembly.built.model) if assembly.run.optimisation.fsdp else None
        super().__init__(model=assembly.built.model, **options)
        self._assembly, self._copy, self._has_ended, self._log_line = assembly, whole, has_ended, log
        layer = getattr(plain(assembly.built.model).base_model, "outlier_layer", None)
        is_soft = layer is not None and layer.gate.mode == "soft"
        self._gate_loss = assembly.run.optimisation.gate_loss if is_soft else 0.0
        if self._gate_loss != assembly.run.optimisation.gate_loss:
            log("`optimisation.gate_loss` has no effect, since the model has no soft gates")

    @override
    def set_initial_training_values(self, args: TrainingArguments, dataloader: Any) -> Any:
        """The Trainer's own, but no epochs if it resumes what has ended: it would take one more step to see that."""
        num_epochs, *others = super().set_initial_training_values(args, dataloader)
        return (0 if self._has_ended else num_epochs, *others)

    @override
    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        # not passed to the Trainer's constructor, which FSDP does not allow
        if self.optimizer is None:
            assert isinstance(self.args, RunArguments)
            whole: Any = self.model
            self.optimizer = self.args.optimizer(whole if model is None else model)
        return self.optimizer

    @override
    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The model's loss; with `optimisation.gate_loss`, plus what gates learn from the attention."""
        progress = self.state.global_step / max(1, self.state.max_steps)
        weight = weight_at(self._gate_loss, progress)
        if not weight or inputs.get("fact_features") is None:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        inputs = {**inputs, "output_attentions": True}
        both: Any = super().compute_loss(model, inputs, True, num_items_in_batch)
        loss, outputs = both
        if outputs.fact_gate is not None:
            facts = outputs.fact_gate.shape[-1]
            gate, mask = outputs.fact_gate.view(-1, facts), inputs["fact_mask"].view(-1, facts)
            attention = attention_to_facts(outputs.attentions, facts, len(gate))
            loss = loss + weight * gate_loss(gate, attention, mask)
        return (loss, outputs) if return_outputs else loss

    def whole_model(self) -> Any:
        """The model with all its weights; every process has to call this."""
        model: Any = self.accelerator.unwrap_model(self.model)
        return model if self._copy is None else self._copy.of(model)

    @override
    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        assert self._assembly.train is not None
        return _WholeSteps(self._assembly.train, self._assembly.run)

    @override
    def evaluate(  # pyright: ignore[reportIncompatibleMethodOverride] - of the run's rows
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        assert self._assembly.validation is not None
        scores = self._assembly.evaluate(self._assembly.validation, self.whole_model(), self._log_line)
        task = self._assembly.task
        if task.metric not in scores.metrics:
            raise RunError(
                f"the `metric` of the task {task.name}, by which the best model is chosen, is {task.metric!r}, but its "
                f"`evaluate` gives {', '.join(map(repr, scores.metrics)) or 'none'}."
            )
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in scores.metrics.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def keep(self, folder: Path, scores: str | None = None) -> None:
        """Save the model, its processor and its scores, if any; every process has to call this."""

        def save(unfinished: Path) -> None:
            model = self.whole_model()
            if rank() == 0:
                plain(model).save_pretrained(unfinished)
                self._assembly.built.processor.save_pretrained(unfinished)
                if scores is not None:
                    write_text(unfinished / SCORES_FILE, scores)

        save_to(folder, save, first=rank() == 0, wait=self.accelerator.wait_for_everyone)

    @override
    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Write a checkpoint's weights under the names that they have in memory.

        `save_pretrained` writes some under the names of earlier releases, which the Trainer, resuming from a
        checkpoint, takes for missing and silently leaves new.
        """
        assert output_dir is not None
        model: Any = self.model
        model.save_pretrained(output_dir, state_dict=state_dict, save_original_format=False)

    @override
    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        path = Path(resume_from_checkpoint) / "model.safetensors"
        if not self.is_fsdp_enabled and path.is_file():
            whole: Any = self.model
            require_same_weights(path, whole)
        super()._load_from_checkpoint(resume_from_checkpoint, model)


def require_same_weights(path: Path, model: Any) -> None:
    """Refuse weights that are not exactly a model's, which the Trainer would take as far as they go.

    Raises:
        RunError: If a name or a shape is another, or a value is NaN or infinite.
    """
    ours = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    with safe_open(path, framework="pt") as file:
        theirs = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - not a mapping
        # Of weights that are tied, one is written.
        tied = getattr(model, "all_tied_weights_keys", ())
        other = {name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)}
        if other := other.difference(tied):
            name = min(other)
            raise RunError(
                f"the checkpoint {str(path.parent)!r} has other weights than the model: {name} is "
                f"{theirs.get(name, 'missing')} there, and {ours.get(name, 'missing')} in the model."
            )
        try:
            require_finite(((name, file.get_tensor(name)) for name in theirs), repr(str(path.parent)))
        except LoadingError as error:
            raise RunError(str(error)) from error


def _trainer(
    assembly: Assembly, arguments: RunArguments, folder: Path, checkpoint: Path | None, log: Log
) -> tuple[_Trainer, Ledger]:
    run, rows, model = assembly.run, assembly.train, assembly.built.model
    assert rows is not None
    parameters = list(model.parameters())
    ledger = Ledger(
        parameters=sum(parameter.numel() for parameter in parameters),
        trainable_parameters=sum(p.numel() for p in parameters if p.requires_grad),
        processes=world_size(),
    )
    trainer = _Trainer(
        assembly,
        has_ended=checkpoint is not None and has_ended(checkpoint, steps=arguments.max_steps),
        log=log,
        args=arguments,
        data_collator=assembly.collator(rows, training=True),
        train_dataset=rows,
        eval_dataset=assembly.validation,
        callbacks=[Epochs(rows)],
    )
    for own in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(own)  # `log` says how it goes
    trainer.add_callback(Checkpoints(ledger, trainer.accelerator.wait_for_everyone))
    for callback in assembly.task.callbacks(model):
        trainer.add_callback(callback)
    trainer.add_callback(KeepBest(folder, assembly.task.metric, trainer.keep))
    if rank() == 0:
        metrics = MetricsLog(folder, after=0 if checkpoint is None else steps_of(checkpoint))
        trainer.add_callback(RunLog(folder, metrics, ledger, run.optimisation.batch_size, log))
        from torch.utils.tensorboard import SummaryWriter

        trainer.add_callback(TensorBoardCallback(SummaryWriter(str(folder / "tensorboard"))))
    patience = run.optimisation.patience
    if patience is not None and assembly.validation is not None:
        trainer.add_callback(EarlyStoppingCallback(early_stopping_patience=patience))
    return trainer, ledger


def _finish(assembly: Assembly, trainer: _Trainer, ledger: Ledger, folder: Path, log: Log) -> None:
    """Evaluate the best model on the test tables, and write results and report."""
    from vkood.train.report import write_report

    model = trainer.whole_model()
    if (folder / BEST).is_dir():
        device = model.device
        model = load_model(folder / BEST).to(device)
    results: dict[str, Any] = {
        "run": assembly.run.as_dict(),
        "model": BEST if (folder / BEST).is_dir() else LAST,
    }
    predictions: list[dict[str, Any]] = []
    with GateWatch(plain(model).base_model) as watch:
        if assembly.validation is not None:
            predictions = _evaluated(assembly, "validation", assembly.validation, model, folder, results, log)
    if assembly.run.data.test:
        rows = assembly.rows(assembly.run.data.test)
        _evaluated(assembly, "test", rows, model, folder, results, log)
    if rank() == 0:
        ledger.update(trainer.state.global_step, assembly.run.optimisation.batch_size)
        ledger.write(folder)
        results["cost"] = ledger.as_dict()
        write_report(folder, assembly, model, predictions, watch.summary())
        _write_cards(folder, assembly, results)
        write_text(folder / RESULTS_FILE, json.dumps(results, indent=1) + "\n")
        log(f"results are in {folder / RESULTS_FILE}, and a report in {folder / 'report.html'}")
    trainer.accelerator.wait_for_everyone()


def _write_cards(folder: Path, assembly: Assembly, results: dict[str, Any]) -> None:
    """Say in the cards of the run's models what they were trained on, and in the reported one's what it scores."""
    data = assembly.run.data
    trained = f"Tables {', '.join(data.train)}, by the recipe `{assembly.run.recipe}` of vkood."
    reported = "test" if results.get("test") else "validation"  # public tests often have no answers
    tables = ", ".join(getattr(data, reported))
    for name in (BEST, LAST):
        if (folder / name).is_dir():
            model = assembly.built.model
            scores = results.get(reported, {}) if name == results["model"] else {}
            details = CardDetails(data=trained, metrics=scores, evaluated_on=f"{tables} ({reported})")
            write_card(folder / name, plain(model), details)


def _evaluated(
    assembly: Assembly, name: str, rows: Rows, model: Any, folder: Path, results: dict[str, Any], log: Log
) -> list[dict[str, Any]]:
    """Evaluate on a set of tables, note the metrics in the results, and write and return the predictions, if any."""
    log(f"evaluates on {name}")
    scores = assembly.evaluate(rows, model, log)
    results[name] = scores.metrics
    if scores.predictions and rank() == 0:
        (folder / "predictions").mkdir(exist_ok=True)
        write_predictions(folder / "predictions" / f"{name}.jsonl", scores.predictions)
    return scores.predictions


def _silent(line: str) -> None:
    """What other processes than the first do with lines to log."""
