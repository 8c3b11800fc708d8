"""Training: that it learns, what it reports, and which weights it decays."""

import math

import pytest
import torch
from torch import nn
from torch.utils.data import Subset

from support import tiny_models
from support.tiny_vqa import HashedFacts, tiny_config, tiny_tokenizer
from vkood.data import FactTable, JointVqa, VqaCollator
from vkood.models import VkoodForVisualQuestionAnswering
from vkood.models.two_stream import answering
from vkood.tasks.saved import answer_ids
from vkood.train import TrainingOptions, fit
from vkood.train.fitting import parameter_groups


def options(**changes):
    return TrainingOptions(
        **({"steps": 6, "batch_size": 4, "learning_rate": 1e-3, "report_every": 2} | changes)
    )


@pytest.fixture
def model():
    return VkoodForVisualQuestionAnswering(tiny_config(initializer_range=0.2))


@pytest.fixture(scope="module")
def rows():
    return JointVqa("train", 0, plain=1, knowledge=1)


@pytest.fixture
def collate(model, rows):
    table = FactTable.build(rows.sentences(), HashedFacts())
    return VqaCollator(tiny_tokenizer(), table, answer_ids(model.config))


def test_it_learns_one_batch_by_heart(model, rows, collate):
    reports = fit(
        model, Subset(rows, range(4)), collate, options(steps=60, learning_rate=1e-2, report_every=15)
    )
    assert reports[0].loss > 2
    assert reports[-1].loss < 0.05
    batch = collate([rows[index] for index in range(4)])
    with torch.inference_mode():
        predicted = model.eval()(**batch).logits.argmax(-1)
    known = batch["labels"] != -100
    assert torch.equal(predicted[known], batch["labels"][known])


def test_reports(model, rows, collate):
    seen = []
    reports = fit(model, Subset(rows, range(8)), collate, options(), on_report=seen.append)
    assert reports == seen
    assert [report.step for report in reports] == [2, 4, 6]
    assert all(report.loss > 0 for report in reports)


def test_a_seed_repeats(rows, collate):
    losses = []
    for seed in (0, 0, 1):
        torch.manual_seed(5)
        model = VkoodForVisualQuestionAnswering(tiny_config())
        reports = fit(model, Subset(rows, range(20)), collate, options(seed=seed))
        losses.append([report.loss for report in reports])
    assert losses[0] == losses[1] != losses[2]


def test_the_dataset_is_told_the_epoch(model, rows, collate):
    class Told(Subset):
        epochs: list[int] = []  # noqa: RUF012 - one dataset in this test

        def set_epoch(self, epoch):
            self.epochs.append(epoch)

    fit(model, Told(rows, range(8)), collate, options())  # 2 steps make an epoch
    assert sorted(set(Told.epochs)) == [0, 1, 2]


def test_a_broken_loss_shows(rows, collate, monkeypatch):
    monkeypatch.setattr(answering, "answer_loss", lambda logits, labels: logits.sum() * torch.nan)
    ungated = VkoodForVisualQuestionAnswering(tiny_config(gate={"kind": "none"}))
    reports = fit(ungated, Subset(rows, range(8)), collate, options())
    assert all(math.isnan(report.loss) for report in reports)


def test_parameter_groups():
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Conv2d(1, 2, 3), nn.Linear(4, 2))
    model.temperature = nn.Parameter(torch.tensor(1.0))
    model[3].requires_grad_(False)
    decayed, kept = parameter_groups(model, learning_rate=1e-3, weight_decay=0.3)
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.3, 0.0)
    assert decayed["lr"] == kept["lr"] == 1e-3
    assert {id(p) for p in decayed["params"]} == {id(model[0].weight), id(model[2].weight)}
    assert {id(p) for p in kept["params"]} == {
        id(p) for p in (model[0].bias, model[1].weight, model[1].bias, model[2].bias, model.temperature)
    }


@pytest.mark.parametrize("factors", [(5.0, 50.0), (1.0, 1.0)])
def test_roles_learn_at_their_rates(factors):
    """As METER's groups: towers and token types, co-attention with projections and poolers, heads."""
    model = VkoodForVisualQuestionAnswering(tiny_models.tiny_config())
    fusion, head = factors
    groups = parameter_groups(
        model, learning_rate=1e-3, weight_decay=0.01, fusion_factor=fusion, head_factor=head
    )
    rates = {id(part): group["lr"] / 1e-3 for group in groups for part in group["params"]}
    assert len(rates) == sum(1 for _ in model.parameters())
    for name, rate in (
        ("vkood.image_tower.encoder.embedder.embedder.convolution.weight", 1.0),
        ("vkood.text_tower.encoder.embeddings.word_embeddings.weight", 1.0),
        ("vkood.token_types.weight", 1.0),
        ("vkood.image_projection.weight", fusion),
        ("vkood.pooling.text.weight", fusion),
        ("vkood.fusion.text_layers.0.cross_attention.key.weight", fusion),
        ("vkood.outlier_layer.gate.threshold", fusion),
        ("answer_head.3.bias", head),
    ):
        assert rates[id(dict(model.named_parameters())[name])] == pytest.approx(rate), name


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"steps": 0}, "`steps`"),
        ({"batch_size": -1}, "`batch_size`"),
        ({"learning_rate": 0.0}, "`learning_rate`"),
        ({"report_every": 0}, "`report_every`"),
        ({"warmup": 1.0}, "`warmup`"),
        ({"warmup": -0.1}, "`warmup`"),
    ],
)
def test_bad_options(changes, named):
    with pytest.raises(ValueError, match=named):
        options(**changes)
