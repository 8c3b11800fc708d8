"""One complete, typed run: everything that decides what training does, in values that YAML has."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vkood.fields import Choice, Optional, Real, Rule, Several, Whole, require_kind, require_rules, ruled

if TYPE_CHECKING:
    from vkood.tasks import Task

FAMILY_NAMES = ("two-stream", "blip")
SCHEDULES = ("polynomial", "cosine", "linear", "constant")
PRECISIONS = ("float32", "bf16", "fp16")
AUGMENTATIONS = ("none", "randaug")
FEATURES = ("computed", "cached")
INFERENCES = ("rank", "generate")
TINY = "tiny"
"""The name of small new towers, in place of pretrained ones."""

_COUNT = Whole(1, 10**9)
_FACTOR = Real(0, 1e6, above=True)


def _limit(rule: Rule) -> Any:
    """A field that is None unless it is set."""
    return ruled(None, Optional(rule))


@dataclass(kw_only=True)
class ModelOptions:
    """Options of the model.

    Attributes:
        family: "two-stream" for METER's architecture, "blip" for BLIP's.
        image: Hub name or folder of the image tower; "tiny" for a small new one.
        text: Hub name or folder of the text tower; "tiny" for a small new one.
        checkpoint: What training starts from, or what is evaluated: a folder of ours, or a checkpoint of METER, VK-OOD
            or BLIP. With one, `image` and `text` only say how pictures and texts are prepared, if it does not itself.
        image_size: Height and width of images, in pixels.
        config: Further fields of `VkoodConfig` or `BlipVkoodConfig`.
        freeze_towers: Whether the towers stay as they are.
        adapter_size: Width of UniAdapter's bottlenecks (BLIP); None for none.
        lora_rank: Rank of LoRA on the attentions' queries and values, by PEFT; None for none.
        gradient_checkpointing: Whether to compute activations twice, to save memory.
    """

    family: str = ruled("two-stream", Choice(FAMILY_NAMES))
    image: str = "openai/clip-vit-base-patch16"
    text: str = "roberta-base"
    checkpoint: str | None = None
    image_size: int = ruled(224, Whole(8, 4096))
    config: dict[str, Any] = field(default_factory=dict)
    freeze_towers: bool = False
    adapter_size: int | None = _limit(Whole(1, 65_536))
    lora_rank: int | None = _limit(Whole(1, 65_536))
    gradient_checkpointing: bool = False


@dataclass(kw_only=True)
class DataOptions:
    """Options of the data.

    Attributes:
        folder: The folder of the tables.
        train: Names of the tables to train on, in which "*" stands for anything.
        validation: Of those to choose the best model by.
        test: Of those to report on at the end.
        facts: Whether the facts that tables link are used.
        text_length: Max number of tokens of a text.
        fact_vectors: Folder where vectors of facts are kept; `.fact-vectors` in the folder of the tables, if empty.
        texts_per_image: How many texts of an image are trained on at once (answering questions): the image tower runs
            once for them. Others are drawn in each epoch; an image that has fewer repeats them.
        augment: "randaug" for RandAugment (2 operations of magnitude 9), "none" for no changes to pictures.
        workers: Processes that read and decode, for each training process.
        limit: Train on the first so many texts only; all, if None.
        evaluate_limit: Validate and test on the first so many texts only; all, if None.
    """

    folder: str = ""
    train: list[str] = field(default_factory=list)
    validation: list[str] = field(default_factory=list)
    test: list[str] = field(default_factory=list)
    facts: bool = True
    fact_vectors: str = ""
    texts_per_image: int = ruled(1, Whole(1, 1000))
    text_length: int = ruled(50, Whole(3, 100_000))
    augment: str = ruled("none", Choice(AUGMENTATIONS))
    workers: int = ruled(2, Whole(0, 1024))
    limit: int | None = _limit(_COUNT)
    evaluate_limit: int | None = _limit(_COUNT)


@dataclass(kw_only=True)
class OptimisationOptions:
    """Options of the optimisation.

    Attributes:
        batch_size: Examples of an optimiser step, over all processes.
        device_batch_size: Examples that a process takes at once; gradients are accumulated up to `batch_size`.
        epochs: How often all examples are trained on.
        steps: Optimiser steps, in place of `epochs`; None for as many as `epochs` takes.
        learning_rate: Peak rate of the towers.
        fusion_factor: Factor on the towers' learning rate for the fusion.
        head_factor: Factor on the towers' learning rate for heads.
        weight_decay: AdamW's; none on biases and norms.
        betas: AdamW's.
        eps: AdamW's.
        warmup: Share of the steps in which the rate rises to its peak.
        schedule: "polynomial" (power 1, to 0), "cosine" (to 0), "linear" or "constant".
        max_grad_norm: Gradients are scaled down to this norm; 0 for no bound.
        gate_loss: Weight of a loss by which soft gates of a two-stream model learn from the attention to facts. It is
            0 in the first quarter of the steps, and then rises to this; attention is computed in full for it.
        precision: "float32", "bf16" or "fp16".
        evaluate_every: Epochs between validations; 0.1 for ten in an epoch.
        save_every: Steps between checkpoints; None for one with each validation.
        keep_checkpoints: How many of them are kept; at least 2, so that a complete one is left while the next is
            written.
        patience: Validations without a better model after which training ends; None for never.
        seed: Random seed of weights, order, dropout and all random draws.
        fsdp: Whether weights are sharded over processes (FSDP), not copied (DDP).
        log_every: Steps between reports of the loss.
        arguments: Further fields of transformers' `TrainingArguments` by their names, as `label_smoothing_factor`.
    """

    batch_size: int = ruled(32, Whole(1, 10**7))
    device_batch_size: int = ruled(32, Whole(1, 10**7))
    epochs: float = ruled(10.0, _FACTOR)
    steps: int | None = _limit(_COUNT)
    learning_rate: float = ruled(1e-5, Real(0, 100, above=True))
    fusion_factor: float = ruled(5.0, _FACTOR)
    head_factor: float = ruled(5.0, _FACTOR)
    weight_decay: float = ruled(0.01, Real(0, 100))
    betas: list[float] = ruled([0.9, 0.98], Several(2, Real(0, 1, below=True)))  # noqa: RUF009 - makes a field
    eps: float = ruled(1e-8, Real(0, 1, above=True))
    warmup: float = ruled(0.1, Real(0, 1, below=True))
    schedule: str = ruled("polynomial", Choice(SCHEDULES))
    max_grad_norm: float = ruled(0.0, Real(0, 1e9))
    gate_loss: float = ruled(0.0, Real(0, 1e6))
    precision: str = ruled("float32", Choice(PRECISIONS))
    evaluate_every: float = ruled(1.0, _FACTOR)
    save_every: int | None = _limit(_COUNT)
    keep_checkpoints: int = ruled(2, Whole(2, 10**6))
    patience: int | None = _limit(_COUNT)
    seed: int = ruled(0, Whole(0, 2**32 - 1))
    fsdp: bool = False
    log_every: int = ruled(10, _COUNT)
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class TaskOptions:
    """The options of all tasks; each takes those that its class has.

    Attributes:
        single_answer: Whether every question has exactly one right answer, which is trained by cross-entropy over all
            answers (answering); else by binary cross-entropy with soft scores of several.
        false_texts: False captions of each image (retrieval by two streams).
        mask_share: Share of a caption's tokens that are masked (pre-training); 0 for no masked language modelling.
        matching: Whether captions are matched to images (pre-training).
        inference: "rank" or "generate" (generative answering).
        k: Number of answers that are ranked by all their tokens (generative answering).
        shortlist: Number of candidates, the best by features, that are re-ranked (retrieval by BLIP); all, if None.
        add_similarity: Whether the similarity of features is added to the score, as in BLIP; VK-OOD takes the matching
            head's score alone.
        memory_limit: Megabytes for scoring pairs (retrieval).
    """

    single_answer: bool = False
    false_texts: int = ruled(15, Whole(1, 1000))
    mask_share: float = ruled(0.15, Real(0, 1))
    matching: bool = True
    inference: str = ruled("rank", Choice(INFERENCES))
    k: int = ruled(128, _COUNT)
    shortlist: int | None = _limit(_COUNT)
    add_similarity: bool = False
    memory_limit: int = ruled(2048, Whole(1, 10**8))


@dataclass(kw_only=True)
class Run:
    """A run.

    Attributes:
        recipe: The recipe it was made by.
        task: The name of its task, one of `vkood.tasks.TASKS`.
        model: What is trained.
        data: What is read.
        optimisation: How it is trained.
        options: The task's options.
        features: "cached" to run frozen towers once and keep their outputs; "computed" to run them every time.
        output: The run's folder.
        num_gpus: GPUs on each machine, a process for each; 0 for none, None for all that there are.
        num_nodes: Machines.
        processes: Processes on each machine without GPUs.
        evaluate_only: Whether to evaluate only.
    """

    recipe: str = ""
    task: str = "answering"
    model: ModelOptions = field(default_factory=ModelOptions)
    data: DataOptions = field(default_factory=DataOptions)
    optimisation: OptimisationOptions = field(default_factory=OptimisationOptions)
    options: TaskOptions = field(default_factory=TaskOptions)
    features: str = ruled("computed", Choice(FEATURES))
    output: str = ""
    num_gpus: int | None = _limit(Whole(0, 1024))
    num_nodes: int = ruled(1, Whole(1, 100_000))
    processes: int = ruled(1, Whole(1, 4096))
    evaluate_only: bool = False

    @property
    def is_new(self) -> bool:
        """Whether the model has no pretrained parts."""
        return self.model.image == TINY and self.model.checkpoint is None

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return Path(self.output or f"runs/{self.recipe or self.task}")

    @property
    def evaluation_output(self) -> Path:
        """The folder that an evaluation alone is to write to."""
        return Path(self.output or "results")

    def as_dict(self) -> dict[str, Any]:
        """The run in values of JSON and YAML."""
        return asdict(self)


def steps_of_epoch(run: Run, num_examples: int) -> int:
    """The number of optimiser steps of an epoch; the remainder is left out.

    Args:
        run: The run.
        num_examples: How many texts an epoch has: with `data.texts_per_image`, so many for each image.
    """
    return max(1, num_examples // run.optimisation.batch_size)


def planned_steps(run: Run, num_examples: int) -> int:
    """The number of optimiser steps of a run, unless `patience` ends it."""
    optimisation = run.optimisation
    return optimisation.steps or math.ceil(optimisation.epochs * steps_of_epoch(run, num_examples))


class RunError(ValueError):
    """A run that is impossible; the message is one sentence for the user."""


def require_values(run: Run) -> None:
    """Refuse values that are out of range or of another type, whatever their combination.

    Raises:
        RunError: If there are any; the error names the first key, what was expected, and what came.
    """
    try:
        require_rules(run)
    except ValueError as error:
        raise RunError(str(error)) from None


def with_task(run: Run, task: Task) -> Run:
    """A run of a task of one's own.

    Raises:
        TypeError: If it is no task.
        RunError: If the run asks for another family than the task's.
    """
    from vkood.tasks import Task

    if isinstance(task, str):
        raise TypeError(f"`task` must be a task, not its name; got {task!r}: set `task` of the run to it.")
    require_kind("task", task, Task)
    if run.model.family not in (task.family, ModelOptions().family):
        families = f"it has models in {' and '.join(task.models)} only"
        if run.model.family in task.models:
            families = f"make the task with `family={run.model.family!r}`"
        raise RunError(
            f"`model.family` is {run.model.family!r}, but the task {task.name} is of the family {task.family!r}: "
            f"{families}."
        )
    return replace(run, task=task.name, model=replace(run.model, family=task.family))


def task_of(run: Run) -> Task:
    """The task of a run, with its options.

    Raises:
        RunError: If there is no task of this name, or it cannot have these options.
    """
    from vkood.tasks import TASKS  # not before it is needed: it imports PyTorch, which takes seconds

    if run.task not in TASKS:
        raise RunError(
            f"`task` must be one of {', '.join(TASKS)} (the family of the model is `model.family`); got {run.task!r}."
        )
    kind, options = TASKS[run.task], asdict(run.options)
    own = {item.name: options[item.name] for item in fields(kind) if item.name in options}
    try:
        return kind(family=run.model.family, **own)
    except ValueError as error:
        raise RunError(str(error)) from None


def require_possible(run: Run, task: Task | None = None) -> Task:
    """Refuse a run that cannot work, before anything is loaded.

    Args:
        run: The run.
        task: Its task; None for the one that it names.

    Returns:
        The task.

    Raises:
        RunError: If something is wrong.
    """
    require_values(run)
    if not run.data.folder:
        raise RunError("`data.folder` must be the folder of the tables, as `vkood data prepare` writes it.")
    if run.model.family == "blip" and run.model.checkpoint is None and not run.is_new:
        raise RunError(
            "BLIP starts from pretrained weights: `model.checkpoint` must be a `.pth` of BLIP or a folder of ours (or "
            "take the preset `tiny` for small new ones)."
        )
    output = run.evaluation_output if run.evaluate_only else run.folder
    if any(output.glob("*.arrow")):
        raise RunError(
            f"the folder {str(output)!r} has tables, among which a run would lie. Give another `output`."
        )
    return require_options(run, task)


def require_options(run: Run, task: Task | None = None) -> Task:
    """Refuse values of a run that cannot be, wherever its tables and its model's checkpoint are; as `--dry-run` does.

    Args:
        run: The run.
        task: Its task; None for the one that it names.

    Returns:
        The task.

    Raises:
        RunError: If there are any.
    """
    require_values(run)
    if not run.data.train and not run.evaluate_only:
        raise RunError("`data.train` must name at least one table to train on.")
    _require_fitting(run)
    task = task_of(run) if task is None else task
    _require_fitting_batches(run, task)
    if run.optimisation.fsdp and task.momentum_encoder:
        raise RunError(
            f"`optimisation.fsdp` is not for the task {task.name} in the family {task.family}, whose momentum encoder "
            "follows weights that are then on other processes."
        )
    if run.optimisation.gate_loss and run.model.family != "two-stream":
        raise RunError(
            f"`optimisation.gate_loss` must be 0 for the family {run.model.family!r}, whose attention to facts is not "
            "kept."
        )
    if run.optimisation.arguments:
        from vkood.train.arguments import require_arguments

        require_arguments(run)
    if run.model.config:
        from vkood.train.families import FAMILIES

        try:
            FAMILIES[run.model.family].config_class.require_options(run.model.config)
        except ValueError as error:
            raise RunError(f"`model.config`: {error}") from None
    return task


def _require_fitting(run: Run) -> None:
    """Refuse options that exclude each other."""
    blip = run.model.family == "blip"
    if run.features == "cached":
        if blip:
            raise RunError(
                '`features` must be "computed" for BLIP, whose text encoder reads the image and is trained.'
            )
        if not run.model.freeze_towers or run.data.augment != "none" or run.model.lora_rank is not None:
            raise RunError(
                "`features=cached` needs `model.freeze_towers=true` and `data.augment=none`, and goes without "
                "`model.lora_rank`: what towers give must stay the same."
            )
    if run.model.adapter_size is not None and not blip:
        raise RunError("`model.adapter_size` is for the BLIP family; take `model.lora_rank` for two streams.")
    if run.optimisation.patience is not None and not run.data.validation and not run.evaluate_only:
        raise RunError(
            "`optimisation.patience` needs `data.validation`, whose scores decide when training ends."
        )
    if run.evaluate_only and run.model.checkpoint is None:
        raise RunError("`evaluate_only` needs `model.checkpoint`, the model to evaluate.")


def _require_fitting_batches(run: Run, task: Task) -> None:
    """Refuse several texts of an image where a task or a batch cannot have them."""
    per_image, optimisation = run.data.texts_per_image, run.optimisation
    if per_image == 1 or run.evaluate_only:
        return
    if not task.groups_texts or run.features == "cached":
        raise RunError(
            "`data.texts_per_image` above 1 is for the task answering with `features=computed`; "
            f"got the task {task.name} with `features={run.features}`."
        )
    for name in ("batch_size", "device_batch_size"):
        if getattr(optimisation, name) % per_image:
            raise RunError(
                f"`optimisation.{name}` must be a multiple of `data.texts_per_image`, {per_image}; "
                f"got {getattr(optimisation, name)}."
            )
