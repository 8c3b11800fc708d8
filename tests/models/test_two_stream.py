"""The two-stream model: independence of rows, gates on attention, saving, and learning."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close
from transformers import SwinConfig, ViTConfig

from support.tiny_models import tiny_batch, tiny_config
from vkood.models import VkoodForVisualQuestionAnswering
from vkood.solve import Status


@pytest.fixture
def model() -> VkoodForVisualQuestionAnswering:
    """A tiny model in eval mode."""
    return VkoodForVisualQuestionAnswering(tiny_config()).eval()


KINDS = ("mixture", "kernel", "none")


def of_kind(kind: str) -> VkoodForVisualQuestionAnswering:
    gate = {"kind": kind, "joint_dim": 8, "threshold": 2.5, "temperature": 2.0}
    return VkoodForVisualQuestionAnswering(tiny_config(gate=gate)).eval()


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_rows_logits_do_not_depend_on_its_batch(kind):
    model = of_kind(kind)
    batch = tiny_batch(rows=5)
    together = model(**batch).logits
    alone = torch.cat(
        [model(**{name: value[[row]] for name, value in batch.items()}).logits for row in range(5)]
    )
    assert_close(together, alone, atol=1e-5, rtol=1e-5)
    order = torch.tensor([3, 1, 4, 0, 2])
    reordered = model(**{name: value[order] for name, value in batch.items()}).logits
    assert_close(reordered, together[order], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_padding_changes_nothing_whatever_it_holds(kind):
    model = of_kind(kind)
    batch = tiny_batch()
    expected = model(**batch)
    padded = dict(batch)
    padded["input_ids"] = torch.cat([batch["input_ids"], torch.full((3, 4), 7)], dim=1)
    padded["attention_mask"] = torch.cat(
        [batch["attention_mask"], torch.zeros(3, 4, dtype=torch.long)], dim=1
    )
    padded["fact_features"] = torch.cat([batch["fact_features"], torch.full((3, 5, 12), 9.0)], dim=1)
    padded["fact_mask"] = torch.cat([batch["fact_mask"], torch.zeros(3, 5, dtype=torch.bool)], dim=1)
    output = model(**padded)
    assert_close(output.logits, expected.logits, atol=1e-5, rtol=1e-5)
    if kind != "none":
        assert output.fact_gate[:, 4:].eq(0).all()


@torch.no_grad()
def test_order_of_facts_does_not_matter(model):
    batch = tiny_batch()
    order = torch.tensor([2, 0, 3, 1])
    shuffled = batch | {name: batch[name][:, order] for name in ("fact_features", "fact_mask")}
    expected, output = model(**batch), model(**shuffled)
    assert_close(output.logits, expected.logits, atol=1e-5, rtol=1e-5)
    assert_close(output.fact_gate, expected.fact_gate[:, order], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_closed_gates_make_facts_exactly_absent(model):
    batch = tiny_batch()
    without = {name: value for name, value in batch.items() if not name.startswith("fact")}
    model.vkood.outlier_layer.gate.threshold.fill_(-1e6)
    assert_close(model(**batch).logits, model(**without).logits, atol=1e-6, rtol=1e-6)


@torch.no_grad()
def test_wide_open_gates_are_no_gates(model):
    plain = VkoodForVisualQuestionAnswering(tiny_config(gate={"kind": "none"})).eval()
    missing = plain.load_state_dict(model.state_dict(), strict=False)
    assert not missing.missing_keys
    model.vkood.outlier_layer.gate.threshold.fill_(1e6)
    batch = tiny_batch()
    assert_close(model(**batch).logits, plain(**batch).logits, atol=1e-6, rtol=1e-6)


@torch.no_grad()
def test_facts_change_the_answer_while_gates_are_open(model):
    batch = tiny_batch()
    without = {name: value for name, value in batch.items() if not name.startswith("fact")}
    model.vkood.outlier_layer.gate.threshold.fill_(1e6)
    assert (model(**batch).logits - model(**without).logits).abs().max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_several_texts_for_an_image_are_as_one_by_one(kind):
    model = of_kind(kind)
    groups = [tiny_batch(), tiny_batch()]
    images = groups[0]["pixel_values"]
    stacked = {
        name: torch.stack([group[name] for group in groups], dim=1)
        for name in groups[0]
        if name != "pixel_values"
    }
    output = model(pixel_values=images, **stacked, labels=torch.tensor([[0, -100], [1, 2], [3, 4]]))
    for place, group in enumerate(groups):
        single = model(**(group | {"pixel_values": images}))
        assert_close(output.logits[:, place], single.logits, atol=1e-5, rtol=1e-5)
        if kind != "none":
            assert_close(output.fact_score[:, place], single.fact_score, atol=1e-5, rtol=1e-5)
    assert torch.isfinite(output.loss)


def test_saved_and_loaded_models_agree(model, tmp_path):
    model.config.id2label = dict(enumerate(["yes", "no", "kite", "mug", "two"]))
    model.save_pretrained(tmp_path)
    loaded = VkoodForVisualQuestionAnswering.from_pretrained(tmp_path)
    batch = tiny_batch()
    assert_close(loaded(**batch).logits, model(**batch).logits, atol=0, rtol=0)
    assert loaded.config.id2label[2] == "kite"
    assert loaded.config.gate == model.config.gate
    assert loaded.config.image_config.hidden_sizes == [8, 16]


@torch.no_grad()
def test_without_states_the_rest_is_the_same(model):
    batch = tiny_batch()
    whole, first = model.vkood(**batch), model.vkood(**batch, output_states=False)
    assert whole.text_states is not None
    assert first.text_states is None
    assert_close(first.pooled, whole.pooled, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_it_overfits_one_batch(kind):
    model = of_kind(kind).train()
    batch = tiny_batch(rows=6) | {"labels": torch.tensor([0, 1, 2, 3, 4, 0])}
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(60):
        loss = model(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05
    unused = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    # A ResNet's pooler and BERT's are there but not asked; the last fusion layer's image stream is, by the
    # pooler.
    assert all("pooler" in name for name in unused), unused


def test_soft_scores_give_meters_loss(model):
    scores = torch.rand(3, 5)
    output = model(**tiny_batch(), labels=scores)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(output.logits, scores) * 5
    assert_close(output.loss, expected)


def test_bf16_autocast_gives_finite_gradients_and_float32_fits(model):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(**tiny_batch(), labels=torch.tensor([0, 1, 2]))
    output.loss.backward()
    assert output.fact_score.dtype == torch.float32
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)


def test_bad_features_are_named(model):
    batch = tiny_batch()
    batch["fact_features"][1, 2] = torch.nan
    with pytest.raises(ValueError, match=r"`candidates` must have finite numbers.*row 1, item 2"):
        model(**batch)
    batch = tiny_batch()
    batch["pixel_values"][0] = torch.inf
    with pytest.raises(ValueError, match="`context` must have finite numbers"):
        model(**batch)


def test_frozen_towers_stay_as_they_are(model):
    tower = model.vkood.image_tower
    tower.freeze()
    model.train()
    before = {name: value.clone() for name, value in tower.state_dict().items()}
    model(**tiny_batch(), labels=torch.tensor([0, 1, 2])).loss.backward()
    assert not tower.encoder.training
    assert model.vkood.text_tower.encoder.training
    assert all(parameter.grad is None for parameter in tower.parameters())
    for name, value in tower.state_dict().items():
        assert_close(value, before[name], atol=0, rtol=0)


@pytest.mark.parametrize(
    "image_config",
    [
        ViTConfig(
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            image_size=32,
            patch_size=8,
        ),
        SwinConfig(image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=4),
    ],
    ids=["vit", "swin"],
)
@torch.no_grad()
def test_token_towers(image_config):
    model = VkoodForVisualQuestionAnswering(tiny_config(image_config=image_config)).eval()
    output = model(**tiny_batch())
    assert output.logits.shape == (3, 5)
    assert output.solve_status.ne(Status.NOT_FINITE).all()
    assert model.vkood.image_tower.has_class_token == (image_config.model_type == "vit")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gate": {"kind": "wall"}}, "`kind` must be one of mixture, kernel, none"),
        ({"gate": {"family": "round"}}, "`family` must be one of spherical"),
        ({"gate": {"mode": "ajar"}}, "`mode` must be one of soft"),
        ({"num_attention_heads": 3}, "multiple of `num_attention_heads`"),
    ],
)
def test_bad_options_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        VkoodForVisualQuestionAnswering(tiny_config(**changes))
