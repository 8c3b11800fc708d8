"""One complete, typed run: everything that decides what a training does, in values that YAML has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

TASKS = ("pretrain", "vqa", "nlvr2", "retrieval", "blip-vqa", "blip-retrieval")
SCHEDULES = ("polynomial", "cosine", "linear", "constant")
PRECISIONS = ("float32", "bf16", "fp16")
AUGMENTATIONS = ("none", "randaug")
FEATURES = ("computed", "cached")
TINY = "tiny"
"""The name of small new towers, in place of pretrained ones."""


@dataclass(kw_only=True)
class ModelOptions:
    """What is trained.

    Attributes:
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

    image: str = "openai/clip-vit-base-patch16"
    text: str = "roberta-base"
    checkpoint: str | None = None
    image_size: int = 224
    config: dict[str, Any] = field(default_factory=dict)
    freeze_towers: bool = False
    adapter_size: int | None = None
    lora_rank: int | None = None
    gradient_checkpointing: bool = False


@dataclass(kw_only=True)
class DataOptions:
    """What is read.

    Attributes:
        folder: The folder of the tables.
        train: Names of the tables to train on, in which "*" stands for anything.
        validation: Of those to choose the best model by.
        test: Of those to report on at the end.
        facts: Whether the facts that tables link are used.
        text_length: Most tokens of a text.
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
    text_length: int = 50
    augment: str = "none"
    workers: int = 2
    limit: int | None = None
    evaluate_limit: int | None = None


@dataclass(kw_only=True)
class OptimisationOptions:
    """How it is learnt.

    Attributes:
        batch_size: Examples of an optimiser step, over all processes.
        device_batch_size: Examples that a process takes at once; what is missing to `batch_size` is accumulated.
        epochs: How often all examples are gone through.
        steps: Optimiser steps, in place of `epochs`.
        learning_rate: Peak rate of the towers.
        fusion_factor: How many times faster the fusion learns.
        head_factor: How many times faster heads learn.
        weight_decay: AdamW's; none on biases and norms.
        betas: AdamW's.
        eps: AdamW's.
        warmup: Share of the steps in which the rate rises to its peak.
        schedule: "polynomial" (power 1, to 0), "cosine" (to 0), "linear" or "constant".
        max_grad_norm: Gradients are scaled down to this norm; 0 for no bound.
        precision: "float32", "bf16" or "fp16".
        evaluate_every: Epochs between validations; 0.1 for ten in an epoch.
        save_every: Steps between checkpoints; None for one with each validation.
        keep_checkpoints: How many of them are kept, at least 2.
        patience: End after so many validations without a better model; None for never.
        seed: Of weights, order, dropout and all that is drawn.
        fsdp: Whether weights are sharded over processes (FSDP), not copied (DDP).
        log_every: Steps between reports of the loss.
    """

    batch_size: int = 32
    device_batch_size: int = 32
    epochs: float = 10.0
    steps: int | None = None
    learning_rate: float = 1e-5
    fusion_factor: float = 5.0
    head_factor: float = 5.0
    weight_decay: float = 0.01
    betas: list[float] = field(default_factory=lambda: [0.9, 0.98])
    eps: float = 1e-8
    warmup: float = 0.1
    schedule: str = "polynomial"
    max_grad_norm: float = 0.0
    precision: str = "float32"
    evaluate_every: float = 1.0
    save_every: int | None = None
    keep_checkpoints: int = 2
    patience: int | None = None
    seed: int = 0
    fsdp: bool = False
    log_every: int = 10


@dataclass(kw_only=True)
class TaskOptions:
    """What the tasks need to know; each reads its own.

    Attributes:
        false_texts: False captions of each image (retrieval).
        mask_share: Share of a caption's tokens that are hidden (pre-training); 0 for no masked words.
        matching: Whether captions are matched to images (pre-training).
        inference: "rank" or "generate" (BLIP's answers).
        k: How many answers are ranked in full (BLIP).
        shortlist: How many candidates are looked at closely (BLIP's retrieval); all, if None.
        add_similarity: Whether the first look's similarity counts too, as in BLIP; VK-OOD has the closer look alone.
        memory_limit: Megabytes for scoring pairs (retrieval).
    """

    false_texts: int = 15
    mask_share: float = 0.15
    matching: bool = True
    inference: str = "rank"
    k: int = 128
    shortlist: int | None = None
    add_similarity: bool = False
    memory_limit: int = 2048


@dataclass(kw_only=True)
class Run:
    """A run.

    Attributes:
        recipe: The recipe it was made by.
        task: What is learnt.
        model: What is trained.
        data: What is read.
        optimisation: How it is learnt.
        options: What the task needs to know.
        features: "cached" to run frozen towers once and train from what they gave; "computed" to run them every time.
        output: The run's folder.
        num_gpus: GPUs on each machine, a process for each; 0 for none, None for all that there are.
        num_nodes: Machines.
        processes: Processes on each machine without GPUs.
        evaluate_only: Whether to evaluate only.
    """

    recipe: str = ""
    task: str = "vqa"
    model: ModelOptions = field(default_factory=ModelOptions)
    data: DataOptions = field(default_factory=DataOptions)
    optimisation: OptimisationOptions = field(default_factory=OptimisationOptions)
    options: TaskOptions = field(default_factory=TaskOptions)
    features: str = "computed"
    output: str = ""
    num_gpus: int | None = None
    num_nodes: int = 1
    processes: int = 1
    evaluate_only: bool = False

    @property
    def is_blip(self) -> bool:
        """Whether it is about the BLIP family."""
        return self.task.startswith("blip-")

    @property
    def is_new(self) -> bool:
        """Whether the model is new from end to end, and nothing pretrained is wanted."""
        return self.model.image == TINY and self.model.checkpoint is None

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON and YAML have it."""
        return asdict(self)


class RunError(ValueError):
    """A run asks for what cannot be; the message is one sentence for the user."""


def require_possible(run: Run) -> None:
    """Refuse what shows at once to be wrong, before anything is loaded.

    Raises:
        RunError: If it is.
    """
    optimisation, data, options = run.optimisation, run.data, run.options
    _one_of("task", run.task, TASKS)
    _one_of("optimisation.schedule", optimisation.schedule, SCHEDULES)
    _one_of("optimisation.precision", optimisation.precision, PRECISIONS)
    _one_of("data.augment", data.augment, AUGMENTATIONS)
    _one_of("features", run.features, FEATURES)
    _one_of("options.inference", options.inference, ("rank", "generate"))
    if not data.folder:
        raise RunError("`data.folder` must be the folder of the tables, as `vkood data prepare` writes it.")
    positive = {
        "optimisation.batch_size": optimisation.batch_size,
        "optimisation.device_batch_size": optimisation.device_batch_size,
        "optimisation.epochs": optimisation.epochs,
        "optimisation.learning_rate": optimisation.learning_rate,
        "optimisation.evaluate_every": optimisation.evaluate_every,
        "optimisation.log_every": optimisation.log_every,
        "optimisation.fusion_factor": optimisation.fusion_factor,
        "optimisation.head_factor": optimisation.head_factor,
        "model.image_size": run.model.image_size,
        "num_nodes": run.num_nodes,
        "processes": run.processes,
        "options.k": options.k,
        "options.memory_limit": options.memory_limit,
    }
    optional = {
        "optimisation.steps": optimisation.steps,
        "optimisation.save_every": optimisation.save_every,
        "optimisation.patience": optimisation.patience,
        "options.shortlist": options.shortlist,
        "data.limit": data.limit,
        "data.evaluate_limit": data.evaluate_limit,
    }
    for name, number in (positive | {name: n for name, n in optional.items() if n is not None}).items():
        if not number > 0:
            raise RunError(f"`{name}` must be above 0; got {number}.")
    if not 0 <= optimisation.warmup < 1:
        raise RunError(
            f"`optimisation.warmup` must be a share of the steps in [0, 1); got {optimisation.warmup}."
        )
    if optimisation.keep_checkpoints < 2:
        raise RunError(
            f"`optimisation.keep_checkpoints` must be at least 2, so that a whole one is left while the next is "
            f"written; got {optimisation.keep_checkpoints}."
        )
    if run.task == "pretrain" and not options.mask_share and not options.matching:
        raise RunError("pre-training needs `options.mask_share` above 0, or `options.matching`.")
    _require_fitting(run)


def _require_fitting(run: Run) -> None:
    """Refuse options that do not go with each other."""
    if run.features == "cached":
        if run.is_blip:
            raise RunError(
                '`features` must be "computed" for BLIP, whose text encoder reads the image and is trained.'
            )
        if not run.model.freeze_towers or run.data.augment != "none":
            raise RunError(
                "`features=cached` needs `model.freeze_towers=true` and `data.augment=none`: what towers give must "
                "stay the same."
            )
    if run.model.adapter_size is not None and not run.is_blip:
        raise RunError("`model.adapter_size` is for the BLIP family; take `model.lora_rank` for two streams.")
    if run.is_blip and run.model.checkpoint is None and not run.is_new:
        raise RunError(
            "BLIP starts from pretrained weights: `model.checkpoint` must be a `.pth` of BLIP or a folder of ours (or "
            "take the preset `tiny` for small new ones)."
        )
    if run.optimisation.fsdp and run.task == "blip-retrieval":
        raise RunError(
            "`optimisation.fsdp` is not for blip-retrieval, whose momentum encoder follows weights that are then on "
            "other processes."
        )
    if run.evaluate_only and run.model.checkpoint is None:
        raise RunError("`evaluate_only` needs `model.checkpoint`, the model to evaluate.")


def _one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise RunError(f"`{name}` must be one of {', '.join(allowed)}; got {value!r}.")
