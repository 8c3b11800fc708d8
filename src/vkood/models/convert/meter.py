"""METER's names, which are VK-OOD's as well, and ours for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from transformers import PreTrainedConfig

from vkood.models.convert.meter_towers import HYPERPARAMETERS, image_tower, text_tower
from vkood.models.convert.plan import Move, Plan, Request, renamed
from vkood.models.convert.reading import CheckpointError
from vkood.models.convert.settings import (
    number,
    require_agreement,
    require_heads,
    section,
    whole_number,
)
from vkood.models.convert.shapes import Shapes, count_layers, shape_of
from vkood.models.two_stream.answering import VkoodForVisualQuestionAnswering
from vkood.models.two_stream.configuration import NUM_ANSWERS, VkoodConfig
from vkood.models.two_stream.core import VkoodModel, VkoodPreTrainedModel
from vkood.models.two_stream.pretraining import VkoodForPreTraining
from vkood.models.two_stream.reasoning import VkoodForVisualReasoning
from vkood.models.two_stream.retrieval import VkoodForImageTextRetrieval

MeterTask = Literal["vqa", "nlvr2", "retrieval", "snli", "pretraining", "fusion alone"]

_CLASSES: dict[str, type[VkoodPreTrainedModel]] = {
    "vqa": VkoodForVisualQuestionAnswering,
    "nlvr2": VkoodForVisualReasoning,
    "retrieval": VkoodForImageTextRetrieval,
    "snli": VkoodForVisualQuestionAnswering,
    "pretraining": VkoodForPreTraining,
    "fusion alone": VkoodModel,
}
# Visual entailment's classes, in the order of METER's data.
_SNLI = ("contradiction", "neutral", "entailment")

# Each head: what METER calls it, what its layers are called there and here, and the tasks that have it.
_MLP = ((r"([013]\.(?:weight|bias))", r"\1"),)
_LINEAR = ((r"(weight|bias)", r"\1"),)
_HEADS = (
    ("vqa_classifier.", "answer_head.", _MLP, ("vqa",)),
    ("nlvr2_classifier.", "reasoning_head.", _MLP, ("nlvr2",)),
    ("snli_classifier.", "answer_head.", _MLP, ("snli",)),
    ("rank_output.", "rank_head.", _LINEAR, ("retrieval",)),
    ("itm_score.fc.", "match_head.", _LINEAR, ("retrieval", "pretraining")),
    (
        "mlm_score.",
        "masked_language_head.",
        (
            (r"transform\.dense\.(weight|bias)", r"dense.\1"),
            (r"transform\.LayerNorm\.(weight|bias)", r"norm.\1"),
            (r"decoder\.weight", r"decoder.weight"),
            (r"bias", r"decoder.bias"),
        ),
        ("pretraining",),
    ),
)
# By which head a file is one for a task, what METER calls the task's loss, and whether the task is a fine-tuning.
_TASKS = (
    ("vqa", "vqa_classifier.", "vqa"),
    ("nlvr2", "nlvr2_classifier.", "nlvr2"),
    ("retrieval", "rank_output.", "irtr"),
    ("snli", "snli_classifier.", "snli"),
    ("pretraining", "mlm_score.", "mlm"),
    ("pretraining", "itm_score.", "itm"),
)
_FUSION = (
    (r"cross_modal_(text|image)_transform\.(.*)", r"\1_projection.\2"),
    (r"cross_modal_(text|image)_pooler\.dense\.(.*)", r"pooling.\1.\2"),
    (
        r"cross_modal_(text|image)_layers\.(\d+)\.attention\.self\.(query|key|value)\.(.*)",
        r"fusion.\1_layers.\2.self_attention.\3.\4",
    ),
    (
        r"cross_modal_(text|image)_layers\.(\d+)\.attention\.output\.dense\.(.*)",
        r"fusion.\1_layers.\2.self_attention.output.\3",
    ),
    (
        r"cross_modal_(text|image)_layers\.(\d+)\.attention\.output\.LayerNorm\.(.*)",
        r"fusion.\1_layers.\2.self_attention.norm.\3",
    ),
    (
        r"cross_modal_(text|image)_layers\.(\d+)\.crossattention\.self\.(query|key|value)\.(.*)",
        r"fusion.\1_layers.\2.cross_attention.\3.\4",
    ),
    (
        r"cross_modal_(text|image)_layers\.(\d+)\.crossattention\.output\.dense\.(.*)",
        r"fusion.\1_layers.\2.cross_attention.output.\3",
    ),
    (
        r"cross_modal_(text|image)_layers\.(\d+)\.crossattention\.output\.LayerNorm\.(.*)",
        r"fusion.\1_layers.\2.cross_attention.norm.\3",
    ),
    (
        r"cross_modal_(text|image)_layers\.(\d+)\.intermediate\.dense\.(.*)",
        r"fusion.\1_layers.\2.feed_forward.up.\3",
    ),
    (
        r"cross_modal_(text|image)_layers\.(\d+)\.output\.dense\.(.*)",
        r"fusion.\1_layers.\2.feed_forward.down.\3",
    ),
    (
        r"cross_modal_(text|image)_layers\.(\d+)\.output\.LayerNorm\.(.*)",
        r"fusion.\1_layers.\2.feed_forward.norm.\3",
    ),
)
_NEW_FACTS = "METER knows no facts: new weights"


def is_meter(state: Mapping[str, Tensor]) -> bool:
    """Whether these names are those of a METER or VK-OOD two-stream model."""
    return any(name.startswith("cross_modal_text_") for name in state) and any(
        name.startswith("vit_model.") for name in state
    )


def meter_plan(state: Mapping[str, Tensor], settings: Mapping[str, Any], request: Request) -> Plan:
    """Plan what to make of a METER or VK-OOD checkpoint.

    Args:
        state: Its tensors.
        settings: The configuration that it was trained with, as far as the file has it.
        request: What the caller requests besides.

    Raises:
        CheckpointError: If it is incomplete, or neither it nor `request` has what is needed.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    available = [task for task, start, _ in _TASKS if any(name.startswith(start) for name in shapes)]
    task = _task(available, settings, request.task)
    image = image_tower(shapes, settings, request.image_config, request.image_size)
    text = text_tower(shapes, settings, request.text_config)
    prefix = "" if task == "fusion alone" else "vkood."
    moves = {
        "token_type_embeddings.weight": _token_types(shapes, prefix, task, available),
        **{
            name: Move(tuple(f"{prefix}image_tower.encoder.{part}" for part in ours))
            for name, ours in image.moves.items()
        },
        **{name: Move((f"{prefix}text_tower.encoder.{ours}",)) for name, ours in text.moves.items()},
        **{name: Move((prefix + ours,)) for name in shapes if (ours := renamed(name, _FUSION)) is not None},
    }
    leftovers, new = {**image.leftovers, **text.leftovers}, _new_facts(prefix)
    for start, ours, table, tasks in _HEADS:
        parts = {
            name: part
            for name in shapes
            if name.startswith(start) and (part := renamed(name.removeprefix(start), table))
        }
        if task in tasks:
            moves |= {name: Move((ours + part,)) for name, part in parts.items()}
            if task not in available and not any(name.startswith(start) for name in shapes):
                new += ((rf"{re.escape(ours)}.*", "a new head, which the file does not have"),)
        else:
            leftovers |= dict.fromkeys(parts, f"a head that a model for {task} does not have")
    config, notes = _config(shapes, settings, request, task, available, image.config, text.config)
    return Plan(
        family="meter",
        task=task,
        model_class=_CLASSES[task],
        config=config,
        towers=f"{image.name} and {text.name}",
        image_size=image.image_size,
        moves=moves,
        leftovers=leftovers,
        new=new,
        resize=request.image_size is not None,
        notes=(*image.notes, *text.notes, *notes),
        finish=_finish(task, shapes),
    )


def _new_facts(prefix: str) -> tuple[tuple[str, str], ...]:
    return ((rf"{re.escape(prefix)}(fact_projection|outlier_layer|steering)\..*", _NEW_FACTS),)


def _task(available: list[str], settings: Mapping[str, Any], request: str | None) -> str:
    """The task of the model: the one requested, or that of the file's heads.

    A head of a fine-tuning counts more than those of pre-training. Of several, the losses of the file's own
    configuration decide.
    """
    if request is not None:
        if request not in get_args(MeterTask):
            raise CheckpointError(f"`task` must be one of {', '.join(get_args(MeterTask))}; got {request!r}.")
        return request
    losses = section(settings, "loss_names", HYPERPARAMETERS)
    trained = [
        task for task, _, loss in _TASKS if number(losses, loss, HYPERPARAMETERS, lowest=0.0, highest=1e6)
    ]
    tuned = [task for task in available if task != "pretraining"]
    if len(tuned) > 1:
        tuned = [task for task in tuned if task in trained] or tuned
    if len(tuned) > 1:
        raise CheckpointError(
            f"The checkpoint has heads for {' and '.join(tuned)}: choose one by `task` (--task)."
        )
    if tuned:
        return tuned[0]
    if available:
        return "pretraining"
    if trained:
        raise CheckpointError(
            f"The checkpoint was trained for {trained[0]}, as its hyper-parameters say, but has no head for that; "
            "choose another by `task` (--task)."
        )
    return "fusion alone"


def _token_types(shapes: Shapes, prefix: str, task: str, available: list[str]) -> Move:
    """Types of the text and of each image: two, or three for NLVR2's second image; ours has a last one for facts."""
    name = "token_type_embeddings.weight"
    rows, _ = shape_of(shapes, name, 2, "fusion")
    expected = 3 if "nlvr2" in available else 2
    if rows != expected:
        raise CheckpointError(f"{name!r} of the checkpoint must have {expected} rows; it has {rows}.")
    taken = rows if task == "nlvr2" else 2
    note = "the row for facts is new"
    if taken < rows:
        note += ", and that of the second image is not used"
    return Move((f"{prefix}token_types.weight",), rows=taken, note=note)


def _config(
    shapes: Shapes,
    settings: Mapping[str, Any],
    request: Request,
    task: str,
    available: list[str],
    image: PreTrainedConfig,
    text: PreTrainedConfig,
) -> tuple[VkoodConfig, tuple[str, ...]]:
    """The configuration, and what was assumed for it."""
    hidden = shape_of(shapes, "cross_modal_text_transform.weight", 2, "fusion")[0]
    layers = count_layers(shapes, r"cross_modal_(?:text|image)_layers\.(\d+)\.", "fusion")
    require_agreement(settings, {"num_top_layer": layers}, HYPERPARAMETERS)
    heads, notes = whole_number(settings, "num_heads", HYPERPARAMETERS), ()
    if heads is None:
        if hidden % 64:
            raise CheckpointError(
                f"The checkpoint does not tell how many attention heads its fusion of width {hidden} has: its "
                "hyper-parameters should have `num_heads`."
            )
        heads = hidden // 64
        notes = (
            f"the fusion's {heads} attention heads are a guess, {hidden} / 64: the file has no `num_heads`",
        )
    require_heads(heads, hidden, "The checkpoint's fusion")
    inner = shape_of(shapes, "cross_modal_text_layers.0.intermediate.dense.weight", 2, "fusion")[0]
    dropout = number(settings, "drop_rate", HYPERPARAMETERS, lowest=0.0, highest=0.99)
    requested_size = "pretraining" not in available
    config = VkoodConfig(
        image_config=image,
        text_config=text,
        hidden_size=hidden,
        num_attention_heads=heads,
        num_fusion_layers=layers,
        intermediate_size=inner,
        dropout=0.1 if dropout is None else dropout,
        num_images=2 if task == "nlvr2" else 1,
        masked_language=requested_size or any(name.startswith("mlm_score.") for name in shapes),
        matching=requested_size or any(name.startswith("itm_score.") for name in shapes),
        **_labels(shapes, request, task),
    )
    _require_trained_heads(shapes, settings, task)
    return config, notes


def _labels(shapes: Shapes, request: Request, task: str) -> dict[str, Any]:
    """The classes of a head that picks answers, named if their names are known."""
    start = {"vqa": "vqa_classifier.", "snli": "snli_classifier."}.get(task)
    if start is None:
        if request.answers is not None:
            raise CheckpointError(f"`answers` name the classes of a model for vqa; this one is for {task}.")
        return {}
    classes = None
    if any(name.startswith(start) for name in shapes):
        classes = shape_of(shapes, f"{start}3.weight", 2, "answer head")[0]
    names = request.answers
    if names is None and task == "snli" and classes in (None, len(_SNLI)):
        names = _SNLI
    if names is None:
        return {"num_labels": classes or NUM_ANSWERS}
    if classes is not None and len(names) != classes:
        raise CheckpointError(
            f"`answers` must have an answer for each of the {classes} classes of the checkpoint's head; got "
            f"{len(names)}."
        )
    return {"id2label": dict(enumerate(names)), "label2id": {name: place for place, name in enumerate(names)}}


def _require_trained_heads(shapes: Shapes, settings: Mapping[str, Any], task: str) -> None:
    """Refuse a file for pre-training that has lost one of the heads that it was trained with."""
    losses = section(settings, "loss_names", HYPERPARAMETERS)
    for name, start, loss in _TASKS:
        lost = not any(key.startswith(start) for key in shapes)
        if (
            name == task == "pretraining"
            and lost
            and number(losses, loss, HYPERPARAMETERS, lowest=0.0, highest=1e6)
        ):
            raise CheckpointError(
                f"The checkpoint is incomplete: its hyper-parameters train `{loss}`, but it has no {start[:-1]!r}."
            )


def _finish(task: str, shapes: Shapes) -> Any:
    """Begin where METER's fine-tuning begins, if the file does not have what only fine-tuned ones have."""

    @torch.no_grad()
    def second_image_as_first(model: Any) -> None:
        types = model.vkood.token_types.weight
        types[2] = types[1]

    @torch.no_grad()
    def ranks_as_matches(model: Any) -> None:
        model.rank_head.weight.copy_(model.match_head.weight[1:])
        model.rank_head.bias.copy_(model.match_head.bias[1:])

    if task == "nlvr2" and shapes["token_type_embeddings.weight"][0] == 2:
        return second_image_as_first
    if task == "retrieval" and not any(name.startswith("rank_output.") for name in shapes):
        return ranks_as_matches
    return None
