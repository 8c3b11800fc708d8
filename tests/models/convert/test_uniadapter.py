"""UniAdapter's checkpoints give UniAdapter's numbers."""

import re
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from support.foreign_files import BLIP_CONFIGS, LAYERS, SWITCHES, adapted_state, blip_state, saved
from support.oracles import FOLDER, numbers
from vkood.models import BlipVkoodForVisualQuestionAnswering
from vkood.models.convert import CheckpointError, CheckpointReport, load_checkpoint

ORACLE = FOLDER / "blip_adapter"


@pytest.fixture(scope="module", name="model")
def _model() -> Any:
    return load_checkpoint(
        ORACLE / "uniadapter_vqa_default.pth", ORACLE / "med_config_tiny.json", image_config={"num_heads": 4}
    )[0]


@pytest.fixture(scope="module", name="oracle")
def _given():
    return numbers("blip_adapter/uniadapter_vqa_default_io.npz")


def questions(oracle):
    return {
        "input_ids": oracle["in_question_ids"],
        "attention_mask": oracle["in_question_mask"],
        "pixel_values": oracle["in_image"],
    }


@torch.no_grad()
def test_every_stage(model, oracle):
    answers = model(
        **questions(oracle),
        labels=oracle["in_train_answer_ids"],
        label_mask=oracle["in_train_answer_mask"],
        answer_counts=oracle["in_train_n"],
        answer_weights=oracle["in_train_weights"],
    )
    for computed, stage in (
        (model.blip.encode_image(oracle["in_image"]), "image_embeds"),
        (answers.text_states, "question_states"),
        (
            model.blip.read(oracle["in_question_ids"], oracle["in_question_mask"], None),
            "question_states_textmode",
        ),
        (answers.loss, "train_loss"),
        (answers.logits, "train_answer_logits"),
    ):
        assert_close(computed, oracle[f"out_{stage}"], atol=1e-4, rtol=0)


def test_rankings_and_generated_answers(model, oracle):
    answers = {"answer_ids": oracle["in_candidate_ids"], "answer_mask": oracle["in_candidate_mask"]}
    ranked = model.rank_answers(**questions(oracle), **answers, k=8)
    assert torch.equal(ranked.indices[:, 0], oracle["out_rank_k8_answer_index"])
    indices, places = ranked.indices.sort(1)
    expected, order = oracle["out_rank_k8_topk_index"].sort(1)
    assert torch.equal(indices, expected)
    scores = oracle["out_rank_k8_topk_score"].gather(1, order)
    assert_close(ranked.scores.gather(1, places), scores, atol=2e-4, rtol=1e-5)
    vocabulary = (FOLDER / "blip" / "vocab.txt").read_text().split("\n")
    generated = [
        " ".join(vocabulary[word] for word in row if word < 65) for row in model.generate(**questions(oracle))
    ]
    assert generated == [
        " ".join(["white"] * 9),
        "street in in in in in in in in",
        " ".join(["that"] * 9),
        " ".join(["man"] * 9),
    ]


def load(tmp_path, state, switches=SWITCHES, **options) -> tuple[Any, CheckpointReport]:
    content = {"model": state} if switches is None else {"model": state, "config": switches}
    model, report = load_checkpoint(saved(tmp_path / "a.pth", content), **BLIP_CONFIGS, **options)
    return model, report


def batch():
    generator = torch.Generator().manual_seed(1)
    return {
        "input_ids": torch.tensor([[48, 5, 6, 7]]),
        "pixel_values": torch.randn(1, 3, 16, 16, generator=generator),
        "labels": torch.tensor([[48, 9, 3]]),
    }


def test_the_decoder_has_the_adapters_that_its_layers_name(tmp_path):
    state = adapted_state()
    model, report = load(tmp_path, state)
    assert isinstance(model, BlipVkoodForVisualQuestionAnswering)
    assert model.decoder_adapters is None
    unused = {key.name for key in report.of("unexpected") if "does not use" in key.allowed}
    assert unused == {name for name in state if name.startswith("adapters_dec.")}
    beyond = {key.name for key in report.of("unexpected") if "beyond" in key.allowed}
    assert beyond == {
        name
        for name in state
        if (match := re.match(r"(?:visual_encoder\.)?adapters\.(\d+)\.", name)) and int(match[1]) >= LAYERS
    }
    for name in state:
        if name.startswith("text_decoder.bert.encoder.layer") and ".adapter." in name:
            state[name] = state[name] + 1
    apart, _ = load(tmp_path, state)
    part = apart.decoder_adapters[1].down.weight
    assert torch.equal(part, state["text_decoder.bert.encoder.layer.1.adapter.down_proj.weight"])
    assert apart.text_decoder.bert.encoder.layer[1].adapter[0] is apart.decoder_adapters[1]


def folded(state):
    """The same model without adapters of keys and values, which are added to the projections that they stand beside."""
    plain = {name: tensor for name, tensor in state.items() if ".video_" not in name}
    for encoder in ("text_encoder", "text_decoder.bert"):
        for kind in ("key", "value"):
            adapter = {
                part: state[f"{encoder}.encoder.video_{kind}_adapter.{part}"].double()
                for part in ("scale", "down_proj.weight", "down_proj.bias", "up_proj.weight", "up_proj.bias")
            }
            up, scale = adapter["up_proj.weight"], adapter["scale"]
            for layer in range(LAYERS):
                name = f"{encoder}.encoder.layer.{layer}.crossattention.self.{kind}"
                weight, bias = plain[f"{name}.weight"].double(), plain[f"{name}.bias"].double()
                plain[f"{name}.weight"] = (weight + scale * up @ adapter["down_proj.weight"]).float()
                added = scale * (up @ adapter["down_proj.bias"] + adapter["up_proj.bias"])
                plain[f"{name}.bias"] = (bias + added).float()
    return plain


def test_adapters_of_keys_and_values(tmp_path):
    """They are linear, so that they can be folded into the projections by hand."""
    state = adapted_state(key_value=True)
    model, _ = load(tmp_path, state, SWITCHES | {"video_key_adapter": True})
    plain, _ = load(tmp_path, folded(state))
    dropped, _ = load(tmp_path, {name: part for name, part in state.items() if ".video_" not in name})
    with torch.no_grad():
        outputs = [each(**batch()) for each in (model, plain, dropped)]
        for stage in ("text_states", "logits"):
            first, second, without = (output[stage] for output in outputs)
            assert_close(first, second, atol=1e-5, rtol=1e-5)
            assert (first - without).abs().max() > 1e-3
        generated = [
            each.generate(input_ids=batch()["input_ids"], pixel_values=batch()["pixel_values"])
            for each in (model, plain)
        ]
    assert torch.equal(*generated)


def test_a_saved_model_has_its_adapters_of_keys_and_values(tmp_path):
    model, _ = load(tmp_path, adapted_state(key_value=True), SWITCHES | {"video_key_adapter": True})
    model.save_pretrained(tmp_path / "model")
    again = BlipVkoodForVisualQuestionAnswering.from_pretrained(tmp_path / "model")
    with torch.no_grad():
        assert torch.equal(model(**batch()).logits, again(**batch()).logits)


def test_retrieval_has_adapters_in_its_momentum_encoder_too(tmp_path):
    state = adapted_state(key_value=True)
    model, _ = load(tmp_path, state, SWITCHES | {"video_key_adapter": True}, task="retrieval")
    slow = model.momentum["blip"]
    assert (
        slow.text_encoder.encoder.layer[0].crossattention.self.key.adapters[0]
        is slow.key_value_adapters["key"]
    )
    assert torch.equal(
        slow.key_value_adapters["key"].up.weight, model.blip.key_value_adapters["key"].up.weight
    )


@pytest.mark.parametrize(
    ("switches", "build", "unused"),
    [
        ({"adapter_visual": False}, {"vision": False}, "visual"),
        ({"adapter_textual": False, "adapter_multimodal": "after_cross"}, {}, "text"),
        ({"adapter_textual": False, "adapter_multimodal": False}, {}, "both"),
        ({"adapter": False}, {"text": False}, "both"),
    ],
)
def test_switches_are_honoured(tmp_path, switches, build, unused):
    model, _ = load(tmp_path, adapted_state(**build), SWITCHES | switches)
    with torch.no_grad():
        before = model(**batch()), model.blip.read(batch()["input_ids"], None, None)
        parts = {"visual": "visual_up", "text": "up", "both": "cross_norm"}
        for adapter in model.blip.adapters:
            getattr(adapter, parts[unused]).bias.add_(1)
        after = model(**batch()), model.blip.read(batch()["input_ids"], None, None)
    if unused == "visual":
        assert torch.equal(before[0].image_states, after[0].image_states)
        return
    assert torch.equal(before[1], after[1])
    if unused == "both":
        assert torch.equal(before[0].logits, after[0].logits)


@pytest.mark.parametrize(
    ("switches", "problem"),
    [
        ({"temporal_embed": True}, "`temporal_embed` .* must be False, since models here read single images"),
        ({"modality": "video"}, "`modality` .* must be 'image'"),
        ({"video_semantic_adapter": True}, "`video_semantic_adapter`"),
        ({"adapter_multimodal": False}, "`adapter_textual` without `adapter_multimodal`"),
        ({"adapter_multimodal": "split"}, "`adapter_multimodal` .* must be true or false; got 'split'"),
        ({"adapter_visual": "yes"}, "`adapter_visual` .* must be true or false; got 'yes'"),
        ({"adapter_visual": False}, "`adapter_visual` is False .* has the adapters"),
        ({"video_key_adapter": True}, "`video_key_adapter` is True .* lacks the adapters"),
    ],
)
def test_switches_that_cannot_be_honoured_are_refused(tmp_path, switches, problem):
    with pytest.raises(CheckpointError, match=problem):
        load(tmp_path, adapted_state(), SWITCHES | switches)


def test_without_a_configuration_the_report_says_what_was_assumed(tmp_path):
    _, report = load(tmp_path, adapted_state(), None)
    assert "the file does not say which of UniAdapter's switches were on" in report.notes[-1]


def test_adapters_that_are_lost_or_differ_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"`adapter` is True .* lacks the adapters"):
        load(tmp_path, blip_state())
    state = adapted_state()
    state["visual_encoder.blocks.1.adapter.up_proj.bias"] = torch.ones(16)
    with pytest.raises(CheckpointError, match=r"are one adapter in UniAdapter, but differ"):
        load(tmp_path, state)
    state = {
        name: tensor
        for name, tensor in adapted_state().items()
        if not name.endswith("1.down_proj.weight") and "1.adapter.down_proj.weight" not in name
    }
    with pytest.raises(CheckpointError, match=r"lacks blip.adapters.1.down.weight"):
        load(tmp_path, state)


def test_towers_of_different_depth(tmp_path):
    model, _ = load(tmp_path, adapted_state(image_layers=3))
    assert len(model.blip.adapters) == 3
    assert model.blip.image_tower.encoder.layers[2].adapter[0] is model.blip.adapters[2]
