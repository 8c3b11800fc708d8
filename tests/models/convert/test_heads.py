"""Of a file with several heads the task's own is loaded, and no excuse covers a part that is lost."""

import re
from typing import Any

import pytest
import torch

from support.foreign_files import BLIP_CONFIGS, METER_TEXT, blip_state, meter_content, meter_state, saved
from vkood.models import VkoodForImageTextRetrieval, VkoodForVisualQuestionAnswering
from vkood.models.convert import CheckpointError, CheckpointReport, load_checkpoint


def meter(tmp_path, state, settings: Any = None, **options: Any) -> tuple[Any, CheckpointReport]:
    path = saved(tmp_path / "a.ckpt", meter_content(state, **(settings or {})))
    return load_checkpoint(path, **({"text_config": METER_TEXT} | options))


def blip(tmp_path, state, settings: Any = None, **options: Any) -> tuple[Any, CheckpointReport]:
    content = {"model": state} if settings is None else {"model": state, "config": settings}
    return load_checkpoint(saved(tmp_path / "a.pth", content), **(BLIP_CONFIGS | options))


def unused(report):
    return {key.name for key in report.of("unexpected")}


@pytest.mark.parametrize(
    ("heads", "task", "own"),
    [
        (("vqa", "mlm", "itm"), "vqa", ("vqa_classifier.",)),
        (("irtr", "itm", "mlm"), "retrieval", ("rank_output.", "itm_score.")),
        (("snli", "mlm"), "snli", ("snli_classifier.",)),
        (("nlvr2", "itm"), "nlvr2", ("nlvr2_classifier.",)),
        (("mlm", "itm"), "pretraining", ("mlm_score.", "itm_score.")),
    ],
)
def test_the_head_of_the_task_is_loaded_and_others_are_listed(tmp_path, heads, task, own):
    state = meter_state(heads, token_types=3 if "nlvr2" in heads else 2)
    _, report = meter(tmp_path, state)
    assert report.task == task
    for name in state:
        if re.match(r"\w+_classifier|itm_score|mlm_score|rank_output", name):
            assert (name in unused(report)) != name.startswith(own), name
    assert {key.allowed for key in report.of("missing")} == {"METER knows no facts: new weights"}


def test_visual_entailment_is_a_head_of_three_named_answers(tmp_path):
    state = meter_state(("snli",))
    model, _ = meter(tmp_path, state)
    assert isinstance(model, VkoodForVisualQuestionAnswering)
    assert torch.equal(model.answer_head[3].weight, state["snli_classifier.3.weight"])
    assert model.config.id2label == {0: "contradiction", 1: "neutral", 2: "entailment"}


def test_task_chooses(tmp_path):
    state = meter_state(("vqa", "snli", "itm", "mlm"))
    with pytest.raises(CheckpointError, match=r"has heads for vqa and snli: choose one by `task` \(--task\)"):
        meter(tmp_path, state)
    assert meter(tmp_path, state, {"loss_names": {"snli": 1, "vqa": 0}})[1].task == "snli"
    assert meter(tmp_path, state, task="vqa")[1].task == "vqa"
    model, report = meter(tmp_path, state, task="retrieval")
    assert isinstance(model, VkoodForImageTextRetrieval)
    assert torch.equal(model.match_head.weight, state["itm_score.fc.weight"])
    assert torch.equal(model.rank_head.weight, state["itm_score.fc.weight"][1:])
    assert {key.name for key in report.of("missing") if key.allowed.startswith("a new head")} == {
        "rank_head.weight",
        "rank_head.bias",
    }
    model, report = meter(tmp_path, meter_state(("vqa",)), task="pretraining")
    assert model.masked_language_head is not None
    assert model.match_head is not None


@pytest.mark.parametrize(
    ("heads", "options", "lost"),
    [
        (("irtr", "itm"), {}, "itm_score.fc.weight"),
        (("mlm", "itm"), {"task": "retrieval"}, "itm_score.fc.weight"),
        (("mlm", "itm"), {}, "mlm_score.bias"),
        (("mlm", "itm"), {"task": "pretraining"}, "mlm_score.decoder.weight"),
        (("vqa",), {}, "vqa_classifier.3.bias"),
        (("vqa",), {"task": "nlvr2"}, "text_transformer.encoder.layer.1.output.dense.bias"),
        (("vqa",), {}, "vit_model.visual.class_embedding"),
    ],
)
def test_a_lost_key_of_meter_is_refused(tmp_path, heads, options, lost):
    state = meter_state(heads)
    del state[lost]
    with pytest.raises(CheckpointError, match="lacks "):
        meter(tmp_path, state, **options)


@pytest.mark.parametrize(
    ("heads", "options", "lost"),
    [
        (("vqa",), {"task": "nlvr2"}, "text_encoder.encoder.layer.1.attention.self.key.bias"),
        (("vqa",), {"task": "nlvr2"}, "text_encoder.encoder.layer.1.crossattention.output.LayerNorm.bias"),
        (("retrieval", "momentum", "queue"), {}, "text_encoder_m.encoder.layer.0.output.dense.bias"),
        (("retrieval", "momentum", "queue"), {}, "vision_proj_m.weight"),
        (("retrieval", "momentum", "queue"), {}, "temp"),
        (("retrieval", "momentum", "queue"), {}, "idx_queue"),
        (("retrieval", "vqa"), {"task": "vqa"}, "text_decoder.bert.encoder.layer.0.output.dense.bias"),
        (("retrieval", "vqa"), {"task": "retrieval"}, "itm_head.weight"),
        (("vqa",), {"task": "vqa"}, "text_decoder.cls.predictions.transform.dense.weight"),
    ],
)
def test_a_lost_key_of_blip_is_refused(tmp_path, heads, options, lost):
    state = blip_state(heads)
    del state[lost]
    with pytest.raises(CheckpointError, match="lacks "):
        blip(tmp_path, state, **options)


def test_a_misnamed_key_is_refused(tmp_path):
    state = blip_state(("retrieval", "vqa"))
    state["text_decoder.bert.encoder.layer.0.output.dens.bias"] = state.pop(
        "text_decoder.bert.encoder.layer.0.output.dense.bias"
    )
    with pytest.raises(CheckpointError, match=r"lacks text_decoder.* has besides text_decoder.*dens\.bias"):
        blip(tmp_path, state, task="vqa")


@pytest.mark.parametrize("task", ["retrieval", "nlvr2"])
def test_a_vqa_file_begins_other_tasks_with_new_heads(tmp_path, task):
    model, report = blip(tmp_path, blip_state(), task=task)
    new = {key.name.split(".")[0] for key in report.of("missing")} - {"blip"}
    heads = {"match_head", "image_projection", "text_projection", "temperature", "momentum", "queue"}
    assert new == (heads if task == "retrieval" else {"reasoning_head"})
    if task == "retrieval":
        slow = dict(model.momentum["blip"].named_parameters())
        assert all(
            torch.equal(part, slow[name]) for name, part in model.blip.named_parameters() if name in slow
        )


def test_a_retrieval_file_begins_vqa_with_a_new_decoder(tmp_path):
    _, report = blip(tmp_path, blip_state(("retrieval", "momentum", "queue")), task="vqa")
    assert {key.name.split(".")[0] for key in report.of("missing")} == {"blip", "text_decoder"}


def without_last(state, pattern):
    return {name: part for name, part in state.items() if not re.match(pattern, name)}


@pytest.mark.parametrize(
    ("pattern", "settings", "options", "problem"),
    [
        (r"cross_modal_\w+_layers\.1\.", {}, {}, "`num_top_layer` is 2 .* but 1 by"),
        (r"text_transformer\.encoder\.layer\.1\.", {}, {}, "`num_hidden_layers` is 2 in `text_config`"),
        (r"vit_model\.visual\.transformer\.resblocks\.1\.", {"vit": "ViT-B/16"}, {}, "is 12 in ViT-B/16's"),
        (
            r"text_transformer\.encoder\.layer\.1\.",
            {"tokenizer": "roberta-base"},
            {"text_config": None},
            "is 12 in roberta",
        ),
        (
            r"vit_model\.visual\.transformer\.resblocks\.1\.",
            {},
            {"image_config": {"model_type": "clip_vision_model", "num_hidden_layers": 3}},
            "is 3 in `image_config`",
        ),
        (r"text_transformer\.encoder\.layer\.0\.", {}, {}, "lacks layer 0"),
    ],
)
def test_lost_layers_of_meter_are_refused(tmp_path, pattern, settings, options, problem):
    with pytest.raises(CheckpointError, match=problem):
        meter(tmp_path, without_last(meter_state(), pattern), settings, **options)


@pytest.mark.parametrize(
    ("pattern", "options", "problem"),
    [
        (
            r"text_(encoder|decoder\.bert)\.encoder\.layer\.1\.",
            {"text_config": {"num_attention_heads": 2, "num_hidden_layers": 2}},
            "`num_hidden_layers` is 2",
        ),
        (r"visual_encoder\.blocks\.1\.", {"image_config": {"num_heads": 2, "depth": 2}}, "`depth` is 2"),
        (r"text_encoder\.encoder\.layer\.1\.", {}, "has besides text_decoder"),
    ],
)
def test_lost_layers_of_blip_are_refused(tmp_path, pattern, options, problem):
    with pytest.raises(CheckpointError, match=problem):
        blip(tmp_path, without_last(blip_state(), pattern), **options)


def test_token_types(tmp_path):
    state = meter_state(("nlvr2",), token_types=2)
    with pytest.raises(
        CheckpointError, match=r"'token_type_embeddings.weight' .* must have 3 rows; it has 2"
    ):
        meter(tmp_path, state)
    state = meter_state(("nlvr2",), token_types=3)
    model, _ = meter(tmp_path, state, task="vqa")
    types = model.vkood.token_types.weight
    assert torch.equal(types[:2], state["token_type_embeddings.weight"][:2])
    assert not torch.equal(types[2], state["token_type_embeddings.weight"][2])  # that of facts
    with pytest.raises(CheckpointError, match="must have 2 rows; it has 1"):
        meter(tmp_path, meter_state(token_types=1))


def test_flattened_tensors_are_refused(tmp_path):
    for build, load, name in (
        (meter_state, meter, "cross_modal_text_transform.weight"),
        (meter_state, meter, "vit_model.visual.conv1.weight"),
        (blip_state, blip, "visual_encoder.cls_token"),
        (blip_state, blip, "text_encoder.encoder.layer.0.output.dense.weight"),
    ):
        state = build()
        state[name] = state[name].flatten()
        with pytest.raises(CheckpointError, match=f"{name}' of the checkpoint"):
            load(tmp_path, state)


def test_guessed_heads_are_said_to_be_guessed(tmp_path):
    _, report = meter(tmp_path, meter_state())
    assert report.notes == (
        "the image tower's 1 attention heads are a guess, 64 / 64 as in OpenAI's towers: its name 'ViT-tiny' is not "
        "known; `image_config` (--image-config) says otherwise",
    )
    assert "note: the image tower's 1 attention heads are a guess" in str(report)
    config = {"model_type": "clip_vision_model", "num_attention_heads": 4}
    model, report = meter(tmp_path, meter_state(), image_config=config)
    assert report.notes == ()
    assert model.config.image_config.num_attention_heads == 4


def test_weights_that_are_not_finite_are_refused_by_name(tmp_path):
    for value in (float("nan"), float("inf")):
        state = meter_state()
        state["cross_modal_text_pooler.dense.weight"][3, 4] = value
        with pytest.raises(
            CheckpointError, match=r"'cross_modal_text_pooler.dense.weight' .* 1 of 256 values"
        ):
            meter(tmp_path, state)
    state = blip_state()
    state["visual_encoder.norm.bias"] = torch.full(
        (16,), 1e300, dtype=torch.float64
    )  # infinite once it is float32
    with pytest.raises(CheckpointError, match=r"'visual_encoder.norm.bias' .* 16 of 16 values"):
        blip(tmp_path, state)
    state["visual_encoder.norm.bias"] = torch.zeros(16, dtype=torch.half)  # zeros are weights as others
    blip(tmp_path, state)
    state["visual_encoder.norm.bias"] = torch.zeros(16, dtype=torch.int8)
    with pytest.raises(CheckpointError, match="has values of int8, but"):
        blip(tmp_path, state)


def test_tensors_that_are_one_in_the_model_must_not_differ(tmp_path):
    state = blip_state()
    state["text_decoder.cls.predictions.decoder.weight"] = (
        state["text_decoder.cls.predictions.decoder.weight"] + 1
    )
    with pytest.raises(CheckpointError, match="are one tensor in the model, but differ"):
        blip(tmp_path, state)
    del state["text_decoder.cls.predictions.decoder.weight"]
    _, report = blip(tmp_path, state)
    assert "the same tensor as" in next(
        key.allowed for key in report.of("missing") if "decoder.weight" in key.name
    )


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"num_heads": "12"}, r"`num_heads` .* must be a whole number from 1 to [\d,]+; got '12'"),
        ({"num_heads": 0}, "`num_heads`"),
        ({"num_heads": 3}, "not a multiple of its 3 attention heads"),
        ({"num_heads": 10**40}, "`num_heads` .* got 10000"),
        ({"drop_rate": "none"}, "`drop_rate` .* must be a finite number"),
        ({"drop_rate": float("nan")}, "`drop_rate` .* must be a finite number"),
        ({"image_size": [16]}, "`image_size` .* got .16."),
        ({"image_size": 64}, "`image_size` is 64 .* positions for 2 x 2 patches"),
        ({"vit": 5}, "`vit` .* must be a text"),
        ({"loss_names": [1]}, "`loss_names` .* must be named values"),
        ({"num_top_layer": True}, "`num_top_layer`"),
    ],
)
def test_hyper_parameters_of_wrong_types_are_refused(tmp_path, settings, problem):
    with pytest.raises(CheckpointError, match=problem):
        meter(tmp_path, meter_state(), settings)


def test_hyper_parameters_that_are_none(tmp_path):
    path = saved(tmp_path / "a.ckpt", {"state_dict": meter_state(), "hyper_parameters": 3})
    with pytest.raises(CheckpointError, match="`hyper_parameters` must be named values; it is a int"):
        load_checkpoint(path, METER_TEXT)
    path = saved(tmp_path / "a.ckpt", {"state_dict": meter_state()})
    with pytest.raises(
        CheckpointError, match="does not tell how many attention heads its fusion of width 16 has"
    ):
        load_checkpoint(path, METER_TEXT)


@pytest.mark.parametrize(
    ("build", "lost"),
    [
        (meter_state, "vit_model.visual.positional_embedding"),
        (meter_state, "text_transformer.embeddings.position_embeddings.weight"),
        (meter_state, "text_transformer.embeddings.token_type_embeddings.weight"),
        (meter_state, "token_type_embeddings.weight"),
        (meter_state, "cross_modal_text_transform.weight"),
        (meter_state, "cross_modal_text_layers.0.intermediate.dense.weight"),
        (meter_state, "vit_model.visual.conv1.weight"),
        (blip_state, "visual_encoder.pos_embed"),
        (blip_state, "visual_encoder.patch_embed.proj.weight"),
        (blip_state, "text_encoder.embeddings.position_embeddings.weight"),
        (blip_state, "text_encoder.embeddings.word_embeddings.weight"),
        (blip_state, "visual_encoder.blocks.0.mlp.fc1.weight"),
    ],
)
def test_tensors_that_sizes_are_read_off(tmp_path, build, lost):
    """Lost, empty, and of another number of axes."""
    load = meter if build is meter_state else blip
    state = build()
    kept = state.pop(lost)
    with pytest.raises(CheckpointError, match=r"lacks|no first convolution"):
        load(tmp_path, state)
    for wrong in (kept[:0], kept[None], kept.flatten()[0]):
        with pytest.raises(CheckpointError, match=lost):
            load(tmp_path, {**state, lost: wrong.clone()})


def test_images_that_are_too_large(tmp_path):
    for build, load in ((meter_state, meter), (blip_state, blip)):
        with pytest.raises(CheckpointError, match="`image_size` must be at most 2048 pixels; got 100000"):
            load(tmp_path, build(), image_size=100_000)


@pytest.mark.parametrize(
    ("text_config", "problem"),
    [
        ({"model_type": "bert", "num_attention_heads": 3}, "not a multiple of its 3 attention heads"),
        ({"model_type": "bert", "num_attention_heads": "2"}, "`num_attention_heads` in `text_config`"),
        ({"model_type": "bert", "num_attention_heads": 2, "hidden_size": 32}, "`hidden_size` is 32"),
        ({"model_type": "bert", "num_attention_heads": 2, "hidden_act": "no"}, "must be an activation"),
        ({"model_type": "bert", "num_attention_heads": 2, "layer_norm_eps": "small"}, "`layer_norm_eps`"),
        ({"model_type": "t5"}, r"must be BERT's or RoBERTa's \(bert or roberta\).*got t5"),
        ({"model_type": 3}, "`model_type` .* must be a text"),
        ({"model_type": "bert", "num_attention_heads": 2, "num_hidden_layers": 10**9}, "`num_hidden_layers`"),
    ],
)
def test_configurations_of_towers_are_checked(tmp_path, text_config, problem):
    with pytest.raises(CheckpointError, match=problem):
        meter(tmp_path, meter_state(), text_config=text_config)


def test_answers(tmp_path):
    model, _ = meter(tmp_path, meter_state(answers=3), answers=["yes", "no", "red"])
    assert model.config.id2label == {0: "yes", 1: "no", 2: "red"}
    assert model.config.label2id == {"yes": 0, "no": 1, "red": 2}
    for answers, problem in (
        (["yes", "no"], "an answer for each of the 3 classes .* got 2"),
        (["yes", "no", ""], r"`answers\[2\]` must be a text that is not empty"),
        (["yes", "no", "yes"], "must differ, but 'yes' is both the one at 0 and at 2"),
        ("yes", "got a single text"),
    ):
        with pytest.raises(CheckpointError, match=problem):
            meter(tmp_path, meter_state(answers=3), answers=answers)
    with pytest.raises(CheckpointError, match="`answers` name the classes of a model for vqa"):
        meter(tmp_path, meter_state(("itm",)), answers=["yes"])
    with pytest.raises(CheckpointError, match="BLIP writes answers in words"):
        blip(tmp_path, blip_state(), answers=["yes"])
    model, _ = meter(tmp_path, meter_state(("itm", "mlm")), task="vqa", answers=["yes", "no"])
    assert model.answer_head[3].out_features == 2
