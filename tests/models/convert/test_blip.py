"""BLIP's checkpoints give BLIP's numbers."""

import json
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from support.every_model import blip_config
from support.oracles import FOLDER, name_table, numbers
from vkood.models import (
    BlipVkoodForImageTextRetrieval,
    BlipVkoodForVisualQuestionAnswering,
    BlipVkoodForVisualReasoning,
)
from vkood.models.convert import CheckpointError, CheckpointReport, load_checkpoint
from vkood.models.convert.blip import blip_plan
from vkood.models.convert.plan import Request, carry_out

BLIP = FOLDER / "blip"
TABLES = {
    "blip_base_vqa_480": "vqa",
    "blip_base_retrieval_384": "retrieval",
    "blip_base_nlvr_384": "nlvr2",
    "vkood_blip_uniadapter_vqa_224": "vqa",
    "vkood_blip_uniadapter_retrieval_384": "retrieval",
    "vkood_blip_asrun_vqa_224": "vqa",
}


def load(**options: Any) -> tuple[Any, CheckpointReport]:
    tower = json.loads((BLIP / "strings.json").read_text())["VIT"]
    options = {"text_config": BLIP / "med_config_tiny.json", "image_config": tower} | options
    return load_checkpoint(BLIP / "vqa.pth", **options)


@pytest.fixture(scope="module", name="model")
def _model() -> Any:
    return load()[0]


@pytest.fixture(scope="module", name="oracle")
def _given():
    return numbers("blip/vqa_io.npz")


def questions(oracle):
    return {
        "input_ids": oracle["in_question_ids"],
        "attention_mask": oracle["in_question_mask"],
        "pixel_values": oracle["in_image"],
    }


@torch.no_grad()
def test_stages(model, oracle):
    for actual, stage in (
        (model.blip.encode_image(oracle["in_image"]), "image_embeds"),
        (model(**questions(oracle)).text_states, "question_states"),
        (
            model.blip.read(oracle["in_question_ids"], oracle["in_question_mask"], None),
            "question_states_textmode",
        ),
    ):
        assert_close(actual, oracle[f"out_{stage}"], atol=1e-4, rtol=0)


def test_training_loss_and_gradients(oracle):
    model, report = load()
    output = model(
        **questions(oracle),
        labels=oracle["in_train_answer_ids"],
        label_mask=oracle["in_train_answer_mask"],
        answer_counts=oracle["in_train_n"],
        answer_weights=oracle["in_train_weights"],
    )
    assert_close(output.loss, oracle["out_train_loss"], atol=1e-4, rtol=0)
    assert_close(output.logits, oracle["out_train_answer_logits"], atol=1e-4, rtol=0)
    output.loss.backward()
    norms = json.loads((BLIP / "vqa_grads.json").read_text())["grad_l2_norm"]
    parameters = dict(model.named_parameters())
    checked = [key for key in report.of("loaded") if key.name in norms]
    assert len(checked) == len(norms)
    for key in checked:
        (name,) = key.ours
        assert parameters[name].grad.norm().item() == pytest.approx(norms[key.name], rel=1e-3, abs=1e-6), (
            key.name
        )


@pytest.mark.parametrize("k", [4, 8, 20])
def test_rankings(model, oracle, k):
    answers = {"answer_ids": oracle["in_candidate_ids"], "answer_mask": oracle["in_candidate_mask"]}
    ranked = model.rank_answers(**questions(oracle), **answers, k=k)
    assert torch.equal(ranked.indices[:, 0], oracle[f"out_rank_k{k}_answer_index"])
    picked, order = oracle[f"out_rank_k{k}_topk_index"].sort(1)
    for actual, expected in (
        (ranked.scores, "topk_score"),
        (ranked.first_probabilities, "topk_first_token_prob"),
    ):
        indices, places = ranked.indices.sort(1)
        assert torch.equal(indices, picked)
        expected = oracle[f"out_rank_k{k}_{expected}"].gather(1, order)
        assert_close(actual.gather(1, places), expected, atol=2e-4, rtol=1e-5)
    assert_close(ranked.probabilities.sum(1), torch.ones(len(picked)))
    model.config.max_answers_read = k + 1  # one question at a time
    alone = model.rank_answers(**questions(oracle), **answers, k=k)
    assert torch.equal(alone.indices, ranked.indices)


def test_generated_answers(model, oracle):
    assert torch.equal(model.generate(**questions(oracle)), oracle["out_generate_ids"])


@pytest.mark.parametrize("table", TABLES)
def test_full_size_names(table):
    with torch.device("meta"):
        state = {name: torch.empty(shape) for name, shape in name_table(table).items()}
        plan = blip_plan(state, Request(), {})
        _, report = carry_out(plan, state)
    assert not report.problems
    assert not report.of("resized")
    assert report.task == TABLES[table]
    assert report.image_size == int(table.rpartition("_")[2])


@torch.no_grad()
def test_another_resolution(oracle):
    model, report = load(image_size=90)
    assert [key.name for key in report.of("resized")] == ["visual_encoder.pos_embed"]
    assert model.blip.encode_image(torch.zeros(1, 3, 90, 90)).shape == (1, 1 + 5 * 5, 48)
    # Resized once is the same as resized at every image.
    image = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    resized, resizing = load(image_size=96)[0].blip, load()[0].blip
    assert_close(resized.encode_image(image), resizing.encode_image(image), atol=1e-5, rtol=1e-5)


def test_what_cannot_be():
    with pytest.raises(
        CheckpointError, match=r"image tower has width 48, .* attention heads .*--image-config"
    ):
        load(image_config=None)
    with pytest.raises(CheckpointError, match="`image_size` must be at least 16"):
        load(image_size=8)
    with pytest.raises(
        CheckpointError, match="`task` must be one of vqa, nlvr2, retrieval; got 'pretraining'"
    ):
        load(task="pretraining")


def foreign(model, renames):
    """A model's tensors under the names of another implementation."""
    state = {}
    for name, tensor in model.state_dict().items():
        for ours, theirs in renames:
            if name.startswith(ours):
                state[theirs + name.removeprefix(ours)] = tensor
                break
    return state


TOWERS = (
    ("blip.image_tower.embeddings.class_embedding", "visual_encoder.cls_token"),
    ("blip.image_tower.embeddings.position_embedding", "visual_encoder.pos_embed"),
    ("blip.image_tower.embeddings.patch_embedding.", "visual_encoder.patch_embed.proj."),
    ("blip.image_tower.post_layernorm.", "visual_encoder.norm."),
    ("blip.text_encoder.", "text_encoder."),
)


def blocks(state, model):
    """The image tower's layers, as BLIP calls them."""
    for name, tensor in model.state_dict().items():
        if name.startswith("blip.image_tower.encoder.layers."):
            theirs = name.replace("blip.image_tower.encoder.layers.", "visual_encoder.blocks.")
            for ours, new in (
                ("layer_norm", "norm"),
                ("self_attn.qkv", "attn.qkv"),
                ("self_attn.projection", "attn.proj"),
            ):
                theirs = theirs.replace(ours, new)
            state[theirs] = tensor
    return state


def test_reasoning_begins_from_one_image(tmp_path):
    """Both readers begin as the one, so two equal images are read as one, but for the layers that merge."""
    torch.manual_seed(0)
    model = BlipVkoodForVisualQuestionAnswering(blip_config()).eval()
    state = blocks(foreign(model, (*TOWERS, ("text_decoder.", "text_decoder."))), model)
    path = tmp_path / "vqa.pth"
    torch.save({"model": state}, path)
    options = {
        "text_config": {"model_type": "bert", "num_attention_heads": 2},
        "image_config": {"num_heads": 2},
    }
    same: Any
    reasoning: Any
    same, report = load_checkpoint(path, **options)
    assert isinstance(same, BlipVkoodForVisualQuestionAnswering)
    assert report.task == "vqa"
    reasoning, report = load_checkpoint(path, **options, task="nlvr2")
    assert isinstance(reasoning, BlipVkoodForVisualReasoning)
    assert {key.allowed for key in report.of("missing")} >= {"a new head"}
    ids, image = torch.tensor([[1, 5, 6, 7]]), torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        for layer in reasoning.blip.text_encoder.encoder.layer:
            assert layer.crossattention.output.merge is None
        twice = reasoning(input_ids=ids, pixel_values=image[:, None].expand(-1, 2, -1, -1, -1)).text_states
        assert_close(twice, same(input_ids=ids, pixel_values=image).text_states, atol=1e-5, rtol=1e-5)


def test_retrieval_begins_with_its_momentum_a_copy(tmp_path):
    torch.manual_seed(0)
    model = BlipVkoodForImageTextRetrieval(blip_config()).eval()
    heads = (
        ("match_head.", "itm_head."),
        ("image_projection.", "vision_proj."),
        ("text_projection.", "text_proj."),
        ("temperature", "temp"),
    )
    path = tmp_path / "retrieval.pth"
    torch.save({"model": blocks(foreign(model, (*TOWERS, *heads)), model)}, path)
    options = {
        "text_config": {"model_type": "bert", "num_attention_heads": 2},
        "image_config": {"num_heads": 2},
    }
    loaded: Any
    loaded, report = load_checkpoint(path, **options)
    assert report.task == "retrieval"
    for name, tensor in loaded.image_projection.named_parameters():
        assert torch.equal(tensor, dict(loaded.momentum["image_projection"].named_parameters())[name])
    slow = dict(loaded.momentum["blip"].named_parameters())
    assert all(torch.equal(slow[name], part) for name, part in loaded.blip.named_parameters() if name in slow)
