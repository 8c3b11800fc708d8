"""METER's names, which are VK-OOD's as well, and ours for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, get_args

from torch import Tensor
from transformers import PreTrainedConfig

from vkood.models.answering import VkoodForVisualQuestionAnswering
from vkood.models.configuration import VkoodConfig
from vkood.models.convert.meter_towers import image_tower, text_tower
from vkood.models.convert.plan import Move, Plan, Wanted
from vkood.models.convert.reading import CheckpointError
from vkood.models.pretraining import VkoodForPreTraining
from vkood.models.reasoning import VkoodForVisualReasoning
from vkood.models.retrieval import VkoodForImageTextRetrieval
from vkood.models.two_stream import VkoodModel, VkoodPreTrainedModel

MeterTask = Literal["vqa", "nlvr2", "retrieval", "pretraining", "fusion alone"]

_CLASSES: dict[str, type[VkoodPreTrainedModel]] = {
    "vqa": VkoodForVisualQuestionAnswering,
    "nlvr2": VkoodForVisualReasoning,
    "retrieval": VkoodForImageTextRetrieval,
    "pretraining": VkoodForPreTraining,
    "fusion alone": VkoodModel,
}

_HEADS = (
    (r"vqa_classifier\.(.*)", r"answer_head.\1"),
    (r"nlvr2_classifier\.(.*)", r"reasoning_head.\1"),
    (r"itm_score\.fc\.(.*)", r"match_head.\1"),
    (r"rank_output\.(.*)", r"rank_head.\1"),
    (r"mlm_score\.transform\.dense\.(.*)", r"masked_language_head.dense.\1"),
    (r"mlm_score\.transform\.LayerNorm\.(.*)", r"masked_language_head.norm.\1"),
    (r"mlm_score\.decoder\.weight", r"masked_language_head.decoder.weight"),
    (r"mlm_score\.bias", r"masked_language_head.decoder.bias"),
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
_NEW = {
    "vkood.fact_projection.": _NEW_FACTS,
    "vkood.outlier_layer.": _NEW_FACTS,
    "vkood.steering.": _NEW_FACTS,
}


def is_meter(state: Mapping[str, Tensor]) -> bool:
    """Whether these names are those of a METER or VK-OOD two-stream model."""
    return "cross_modal_text_transform.weight" in state and any(
        name.startswith("vit_model.") for name in state
    )


def meter_plan(state: Mapping[str, Tensor], told: Mapping[str, Any], wanted: Wanted) -> Plan:
    """Plan what to make of a METER or VK-OOD checkpoint.

    Args:
        state: Its tensors.
        told: The configuration that it was trained with, as far as the file has it.
        wanted: What is wanted besides.

    Raises:
        CheckpointError: If it is incomplete, or neither it nor `wanted` tells what is needed.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    found = _task(shapes)
    task = wanted.task or found
    if task not in get_args(MeterTask):
        raise CheckpointError(f"`task` must be one of {', '.join(get_args(MeterTask))}; got {task!r}.")
    image = image_tower(shapes, told, wanted.image_config, wanted.image_size)
    text = text_tower(shapes, told, wanted.text_config)
    prefix = "" if task == "fusion alone" else "vkood."
    moves = {
        "token_type_embeddings.weight": Move((f"{prefix}token_types.weight",), rows=True),
        **{name: Move(tuple(f"{prefix}image_tower.encoder.{part}" for part in ours))
           for name, ours in image.moves.items()},
        **{name: Move((f"{prefix}text_tower.encoder.{ours}",)) for name, ours in text.moves.items()},
    }  # fmt: skip
    for name in shapes:
        for table, start in ((_FUSION, prefix), (_HEADS, "")):
            for pattern, ours in table:
                if re.fullmatch(pattern, name):
                    moves[name] = Move((start + re.sub(pattern, ours, name),))
    new = {name.removeprefix("vkood.") if not prefix else name: why for name, why in _NEW.items()}
    leftovers = {**image.leftovers, **text.leftovers}
    if task != found:
        new |= {
            head: f"the file is one for {found}: a new head"
            for head in (
                "answer_head.",
                "reasoning_head.",
                "match_head.",
                "rank_head.",
                "masked_language_head.",
            )
        }
        leftovers |= {
            name: f"the head for {found}"
            for name in shapes
            if any(re.fullmatch(pattern, name) for pattern, _ in _HEADS)
        }
    return Plan(
        family="meter",
        task=task,
        model_class=_CLASSES[task],
        config=_config(shapes, told, task, image.config, text.config),
        towers=f"{image.name} and {text.name}",
        image_size=image.image_size,
        moves=moves,
        leftovers=leftovers,
        new=new,
        finish=_from_pretraining if found == "pretraining" and task != found else None,
    )


def _task(shapes: Mapping[str, tuple[int, ...]]) -> str:
    for task, key in (
        ("vqa", "vqa_classifier.3.weight"),
        ("nlvr2", "nlvr2_classifier.3.weight"),
        ("retrieval", "rank_output.weight"),
        ("pretraining", "mlm_score.decoder.weight"),
        ("pretraining", "itm_score.fc.weight"),
    ):
        if key in shapes:
            return task
    return "fusion alone"


def _config(
    shapes: Mapping[str, tuple[int, ...]],
    told: Mapping[str, Any],
    task: str,
    image: PreTrainedConfig,
    text: PreTrainedConfig,
) -> VkoodConfig:
    hidden = shapes["cross_modal_text_transform.weight"][0]
    layers = {int(name.split(".")[1]) for name in shapes if name.startswith("cross_modal_text_layers.")}
    if not layers or "cross_modal_text_layers.0.intermediate.dense.weight" not in shapes:
        raise CheckpointError("The checkpoint has no co-attention layers, `cross_modal_text_layers`.")
    heads = told.get("num_heads") or (hidden // 64 if hidden % 64 == 0 else 0)
    if not heads or hidden % heads:
        raise CheckpointError(
            f"The checkpoint does not tell how many attention heads its fusion of width {hidden} has: its "
            "hyper-parameters should have `num_heads`."
        )
    options: dict[str, Any] = {}
    if "vqa_classifier.3.weight" in shapes:
        options["num_labels"] = shapes["vqa_classifier.3.weight"][0]
    return VkoodConfig(
        image_config=image,
        text_config=text,
        hidden_size=hidden,
        num_attention_heads=heads,
        num_fusion_layers=max(layers) + 1,
        intermediate_size=shapes["cross_modal_text_layers.0.intermediate.dense.weight"][0],
        dropout=float(told.get("drop_rate", 0.1)),
        num_images=2 if task == "nlvr2" else 1,
        masked_language=task != "pretraining" or "mlm_score.decoder.weight" in shapes,
        matching=task != "pretraining" or "itm_score.fc.weight" in shapes,
        **options,
    )


def _from_pretraining(model: Any) -> None:
    """Begin where METER's fine-tuning begins: the second image's type as the first's, ranks as matches."""
    if isinstance(model, VkoodForVisualReasoning):
        types = model.vkood.token_types.weight
        types[2] = types[1]
    if isinstance(model, VkoodForImageTextRetrieval):
        model.rank_head.weight.copy_(model.match_head.weight[1:])
        model.rank_head.bias.copy_(model.match_head.bias[1:])
