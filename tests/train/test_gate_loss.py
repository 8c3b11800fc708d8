"""Gates learn from the attention behind them: what is attended to opens, all else shuts, and nothing else is taught."""

import json

import pytest
import torch

from support import prepared
from vkood.models.fusion import CoAttention
from vkood.recipes.resolve import resolve
from vkood.train.gate_loss import UNATTENDED, attention_to_facts, gate_loss, weight_at
from vkood.train.record import read_metrics
from vkood.train.run import RunError, require_options
from vkood.train.training import train

EVERY = torch.ones(1, 3, dtype=torch.bool)


def settled(attentions, steps=2000):
    """Where gates go by this loss alone, with a text for each row of attention."""
    margin = torch.zeros(attentions.shape[-1], requires_grad=True)
    optimizer = torch.optim.Adam([margin], lr=0.05)
    mask = torch.ones(attentions.shape, dtype=torch.bool)
    for _ in range(steps):
        optimizer.zero_grad()
        gate_loss(torch.sigmoid(margin).expand(attentions.shape), attentions, mask).backward()
        optimizer.step()
    return torch.sigmoid(margin.detach())


def test_a_fact_asked_for_by_half_the_texts_is_open_and_one_by_none_is_shut():
    gates = settled(torch.tensor([[0.6, 0.0, 0.0], [0.0, 0.6, 0.0]]))
    expected = 1 / (1 + UNATTENDED)
    torch.testing.assert_close(gates[:2], torch.full((2,), expected), atol=1e-3, rtol=0)
    assert gates[2] < 1e-3


def test_gradients_reach_the_gates_alone_and_no_fact_that_is_absent():
    gate = torch.tensor([[0.5, 0.5, 0.5]], requires_grad=True)
    attention = torch.tensor([[0.45, 0.05, 0.5]], requires_grad=True)
    mask = torch.tensor([[True, True, False]])
    loss = gate_loss(gate, attention, mask)
    loss.backward()
    assert attention.grad is None
    assert gate.grad[0, 0] < 0 < gate.grad[0, 1]
    assert gate.grad[0, 2] == 0
    without = gate_loss(gate[:, :2], attention[:, :2], EVERY[:, :2])
    torch.testing.assert_close(loss, without)


def test_texts_that_attend_to_no_fact_teach_nothing():
    gate = torch.tensor([[0.9, 0.2, 0.3], [0.5, 0.5, 0.5]], requires_grad=True)
    attention = torch.tensor([[0.3, 0.0, 0.0], [0.0, 0.0, 0.0]])
    gate_loss(gate, attention, EVERY.expand(2, 3)).backward()
    assert gate.grad[0].abs().min() > 0
    assert gate.grad[1].abs().max() == 0


@pytest.mark.parametrize("mask", [EVERY, ~EVERY])
@pytest.mark.parametrize("values", [[0.0, 1.0, 0.5], [1.0, 0.0, 1e-38]])
def test_gates_at_either_end_and_rows_without_facts_have_finite_gradients(mask, values):
    gate = torch.tensor([values], requires_grad=True)
    loss = gate_loss(gate, torch.tensor([[0.2, 0.3, 0.0]]), mask)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(gate.grad).all()
    assert mask.any() or loss == 0


def test_attention_is_that_of_the_first_token_to_the_facts_that_come_last():
    torch.manual_seed(0)
    fusion = CoAttention(2, 8, 2, 16, 0.0, 1e-5).eval()
    text, image = torch.randn(4, 7, 8), torch.randn(4, 5, 8)
    bias = torch.zeros(4, 7)
    bias[:, 6] = -torch.inf  # the last fact is shut
    attentions = []
    fusion(text, image, bias, first_token=True, attentions=attentions)
    to_facts = attention_to_facts(attentions, num_facts=3, num_texts=2)  # of two images each
    expected = sum(layer.text_to_text[:, :, 0, 4:].mean(1) for layer in attentions) / 2
    torch.testing.assert_close(to_facts, (expected[0::2] + expected[1::2]) / 2)
    assert to_facts[:, 2].abs().max() == 0
    assert (to_facts[:, :2] > 0).all()


def test_the_weight_is_nothing_in_the_first_quarter_and_all_of_it_at_the_end():
    assert [weight_at(2.0, progress) for progress in (0.0, 0.25)] == [0.0, 0.0]
    assert weight_at(2.0, 0.625) == pytest.approx(1.0)
    assert weight_at(2.0, 1.0) == 2.0


@pytest.mark.parametrize("recipe_data", [("vqa", "vqav2"), ("nlvr2", "nlvr2")])
def test_a_run_learns_with_it(tmp_path, recipe_data):
    """From the first step after a quarter of them on, the logged loss has it."""
    recipe, data = recipe_data
    losses = []
    for weight in (0, 50):
        words = ["tiny", f"data.folder={prepared.tables(data)}", f"output={tmp_path / str(weight)}"]
        changes = ["num_gpus=0", "optimisation.steps=4", "optimisation.log_every=1"]
        folder = train(resolve(recipe, [*words, *changes, f"optimisation.gate_loss={weight}"]))
        losses.append([line["loss"] for line in read_metrics(folder) if "loss" in line])
        assert json.loads((folder / "results.json").read_text())["run"]["optimisation"]["gate_loss"] == weight
    assert losses[0][:2] == losses[1][:2]  # steps 1 and 2 have 0 and a quarter of the steps behind them
    assert losses[1][2] > losses[0][2]


def test_a_family_without_attentions_refuses_it():
    run = resolve("blip-vqa", ["tiny", "data.folder=tables", "output=run", "optimisation.gate_loss=0.1"])
    with pytest.raises(RunError, match=r"`optimisation.gate_loss` must be 0 for the family 'blip'"):
        require_options(run)


def test_models_without_soft_gates_say_that_it_has_no_effect(tmp_path):
    words = ["tiny", f"data.folder={prepared.tables('vqav2')}", "num_gpus=0", "optimisation.steps=1"]
    changes = ["optimisation.gate_loss=0.1", "model.config.gate.mode=hard", f"output={tmp_path / 'run'}"]
    lines = []
    train(resolve("vqa", [*words, *changes]), lines.append)
    assert "`optimisation.gate_loss` has no effect, since the model has no soft gates" in lines
