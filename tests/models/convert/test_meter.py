"""METER's checkpoints give METER's numbers."""

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from support.oracles import FOLDER, name_table, numbers
from vkood.models import VkoodForImageTextRetrieval, VkoodForVisualReasoning
from vkood.models.convert import CheckpointError, CheckpointReport, load_checkpoint
from vkood.models.convert.meter import meter_plan
from vkood.models.convert.plan import Request, carry_out

METER = FOLDER / "meter"
TABLES = sorted(path.name.removesuffix(".config.json") for path in (FOLDER / "names").glob("*.config.json"))


def load(**options: Any) -> tuple[Any, CheckpointReport]:
    options = {"text_config": METER / "text_config_roberta-tiny.json"} | options
    return load_checkpoint(METER / "vqa.ckpt", **options)


def answer(model, oracle, **more):
    return model(
        pixel_values=oracle["in_image"],
        input_ids=oracle["in_text_ids"],
        attention_mask=oracle["in_text_masks"],
        **more,
    )


@pytest.mark.parametrize(("name", "size"), [("vqa_io", None), ("vqa_res96_io", 96)])
@torch.no_grad()
def test_every_stage(name, size):
    model, report = load(image_size=size)
    assert len(report.of("resized")) == (size is not None)
    inputs = numbers(f"meter/{name}.npz")
    output = answer(model, inputs)
    core = model.vkood
    tokens = core.text_tower(inputs["in_text_ids"], inputs["in_text_masks"])
    patches = core.image_tower(inputs["in_image"])
    for actual, stage in (
        (tokens, "text_encoder_last"),
        (patches, "image_encoder_last"),
        (core.text_projection(tokens), "text_projected"),
        (core.image_projection(patches), "image_projected"),
        (output.text_states, "text_feats"),
        (output.image_states, "image_feats"),
        (output.pooled, "cls_feats"),
        (output.logits, "vqa_logits"),
    ):
        assert_close(
            actual,
            inputs[f"out_{stage}"],
            atol=1e-4,
            rtol=0,
            msg=lambda text, stage=stage: f"{stage}: {text}",
        )


def test_loss_and_gradients():
    model, report = load()
    inputs = numbers("meter/vqa_io.npz")
    loss = answer(model, inputs, labels=inputs["out_vqa_targets"]).loss
    assert_close(loss, inputs["out_vqa_loss"], atol=1e-4, rtol=1e-6)
    loss.backward()
    norms = json.loads((METER / "vqa_grads.json").read_text())["grad_l2_norm"]
    parameters = dict(model.named_parameters())
    checked = 0
    for key in report.of("loaded"):
        if key.name in norms:
            parts = [parameters[name].grad for name in key.ours]
            actual = torch.stack([part.norm() for part in parts]).norm().item()
            assert actual == pytest.approx(norms[key.name], rel=1e-3, abs=1e-6), key.name
            checked += 1
    assert checked == len(norms)


def test_facts_are_new_and_change_nothing_when_absent():
    model, report = load()
    missing = report.of("missing")
    assert {key.allowed for key in missing} == {"METER knows no facts: new weights"}
    assert all(key.allowed for key in report.of("unexpected"))
    again, _ = load()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def meta(table):
    """The plan for a full-size checkpoint, with no memory for its tensors."""
    settings = json.loads((FOLDER / "names" / f"{table}.config.json").read_text())
    with torch.device("meta"):
        state = {name: torch.empty(shape) for name, shape in name_table(table).items()}
        return state, meter_plan(state, settings, Request())


@pytest.mark.parametrize("table", TABLES)
def test_full_size_names(table):
    state, plan = meta(table)
    with torch.device("meta"):
        _, report = carry_out(plan, state)
    assert not report.problems
    assert not report.of("resized")
    settings = json.loads((FOLDER / "names" / f"{table}.config.json").read_text())
    assert report.image_size == settings["image_size"]
    assert report.task in table.replace("irtr", "retrieval").replace("pretrain_", "pretraining_")


def test_a_lost_key_is_told():
    state, plan = meta("meter_clip16_roberta_224_vqa")
    lost = "cross_modal_text_layers.3.crossattention.self.key.bias"
    del state[lost]
    state["vqa_classifier.9.weight"] = torch.empty(3, device="meta")
    with (
        torch.device("meta"),
        pytest.raises(CheckpointError, match=r"lacks vkood.fusion.text_layers.3.cross_att") as caught,
    ):
        carry_out(
            replace(plan, moves={name: move for name, move in plan.moves.items() if name != lost}), state
        )
    assert "has besides vqa_classifier.9.weight" in str(caught.value)


def pretraining_file(tmp_path):
    """The oracle's towers and fusion under the heads of pre-training."""
    content = torch.load(METER / "vqa.ckpt", weights_only=True)
    generator = torch.Generator().manual_seed(0)
    state = {name: value for name, value in content["state_dict"].items() if not name.startswith("vqa_")}
    state["itm_score.fc.weight"] = torch.randn(2, 128, generator=generator)
    state["itm_score.fc.bias"] = torch.randn(2, generator=generator)
    path = tmp_path / "pretraining.ckpt"
    torch.save(content | {"state_dict": state}, path)
    return path, state


def test_fine_tuning_starts_from_pretraining(tmp_path):
    path, state = pretraining_file(tmp_path)
    text_config = METER / "text_config_roberta-tiny.json"
    model: Any
    ranking: Any
    reasoning: Any
    model, report = load_checkpoint(path, text_config)
    assert report.task == "pretraining"
    assert model.masked_language_head is None
    ranking, _ = load_checkpoint(path, text_config, task="retrieval")
    assert isinstance(ranking, VkoodForImageTextRetrieval)
    assert torch.equal(ranking.match_head.weight, state["itm_score.fc.weight"])
    assert torch.equal(ranking.rank_head.weight, state["itm_score.fc.weight"][1:])
    reasoning, _ = load_checkpoint(path, text_config, task="nlvr2")
    assert isinstance(reasoning, VkoodForVisualReasoning)
    types = reasoning.vkood.token_types.weight
    assert torch.equal(types[:2], state["token_type_embeddings.weight"])
    assert torch.equal(types[2], types[1])
    with pytest.raises(CheckpointError, match="`task` must be one of vqa, nlvr2"):
        load_checkpoint(path, text_config, task="vcr")


def test_what_cannot_be(tmp_path):
    with pytest.raises(CheckpointError, match="'roberta-tiny', which is not known by name"):
        load(text_config=None)
    with pytest.raises(CheckpointError, match="`image_size` must be at least 16"):
        load(image_size=8)
    with pytest.raises(CheckpointError, match="`image_size` must be a number of pixels"):
        load(image_size=0)
    with pytest.raises(CheckpointError, match="`text_config` must be a readable JSON file"):
        load(text_config=tmp_path / "none.json")
    with pytest.raises(CheckpointError, match="has a `model_type`"):
        load(text_config={})
    with pytest.raises(CheckpointError, match=r"`image_config` must be CLIP's .* got swin"):
        load(image_config={"model_type": "swin"})


def test_sizes_that_are_no_multiple_of_a_patch():
    """METER itself stops there; the remainder of the picture is left out."""
    model, report = load(image_size=90)
    assert report.image_size == 90
    assert model.vkood.image_tower(torch.zeros(1, 3, 90, 90)).shape == (1, 1 + 5 * 5, 128)
