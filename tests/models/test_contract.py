"""What every model keeps to."""

import math

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.testing import assert_close

from support.every_model import KINDS, VOCABULARY
from vkood.models import BlipVkoodForImageTextRetrieval, VkoodConfig, parameter_role
from vkood.models.blip import BlipVkoodConfig


@pytest.fixture(params=KINDS, name="kind")
def _kind(request):
    return KINDS[request.param]


def close(actual, expected, atol=1e-5):
    assert_close(actual, expected, atol=atol, rtol=1e-5)


@pytest.mark.slow
def test_it_overfits_one_batch(kind):
    model = kind.new().train()
    inputs = kind.batch() | kind.labels(4)
    contrastive = isinstance(model, BlipVkoodForImageTextRetrieval)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    generator = torch.Generator().manual_seed(0)
    loss = math.inf
    for _ in range(400):
        # The contrastive loss has a floor of its own, so the matching loss is what can be overfitted.
        output = model(**inputs, generator=generator, alpha=0.0) if contrastive else model(**inputs)
        loss = (output.match_loss if contrastive else output.loss).item()
        if loss < 0.01:
            break
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
    assert loss < 0.01


@torch.no_grad()
def test_examples_do_not_feel_each_other(kind):
    model, inputs = kind.new(), kind.batch()
    whole = model(**inputs)[kind.answer]
    order = torch.tensor([2, 0, 3, 1])
    close(model(**{name: part[order] for name, part in inputs.items()})[kind.answer], whole[order])
    for row in range(4):
        tokens = int(inputs["attention_mask"][row].sum())
        alone = {name: part[row : row + 1] for name, part in inputs.items()}
        for name in ("input_ids", "attention_mask"):
            alone[name] = alone[name][:, :tokens]
        facts = int(alone["fact_mask"].sum())
        alone["fact_features"], alone["fact_mask"] = (
            alone["fact_features"][:, :facts],
            alone["fact_mask"][:, :facts],
        )
        actual = model(**alone)[kind.answer]
        close(actual, whole[row : row + 1, : actual.shape[1]] if actual.dim() > 1 else whole[row : row + 1])


@torch.no_grad()
def test_facts_behind_closed_hard_gates_are_left_out_and_missed_by_nobody(kind):
    model, inputs = kind.new(), kind.batch(facts=6)
    gate, score = model.base_model.outlier_layer.gate, model(**inputs).fact_score
    gate.threshold.copy_(score[torch.isfinite(score)].median())
    gate.inference = "hard"
    hard = model(**inputs)
    assert set(hard.fact_gate.unique().tolist()) == {0.0, 1.0}
    gate.threshold.fill_(1e9)
    mask = hard.fact_gate.bool()
    if mask.shape == inputs["fact_mask"].shape:
        close(model(**inputs | {"fact_mask": mask})[kind.answer], hard[kind.answer])
    gate.threshold.fill_(-1e9)  # nothing is left
    close(
        model(**inputs)[kind.answer], model(**inputs | {"fact_mask": torch.zeros(4, 6).bool()})[kind.answer]
    )


@torch.no_grad()
def test_saved_and_loaded(kind, tmp_path):
    model, inputs = kind.new(), kind.batch()
    model.save_pretrained(tmp_path, max_shard_size="10KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    loaded, report = kind.model.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert torch.equal(loaded(**inputs)[kind.answer], model(**inputs)[kind.answer])


def test_what_stands_where_there_is_no_fact_does_not_count(kind):
    model, inputs = kind.new(), kind.batch() | kind.labels(4)
    there = inputs["fact_mask"][..., None]
    assert not there.all()
    answers = []
    for held in (0.0, torch.nan, torch.inf):
        facts = torch.where(there, inputs["fact_features"], held).requires_grad_()
        answer = model(**inputs | {"fact_features": facts})[kind.answer]
        answer.square().sum().backward()
        assert facts.grad.isfinite().all()
        assert not torch.where(there, 0.0, facts.grad).any()
        answers.append(answer)
    close(answers[1], answers[0])
    close(answers[2], answers[0])


@torch.no_grad()
@pytest.mark.parametrize("facts", [0, 1, 200])
def test_any_number_of_facts(kind, facts):
    output = kind.new()(**kind.batch(facts=facts))
    assert output[kind.answer].isfinite().all()
    if facts:
        assert output.fact_gate.shape == (4, facts)
        assert output.solve_status.shape == (4,)
    else:
        assert output.fact_gate is None


@torch.no_grad()
def test_facts_are_a_set(kind):
    model, inputs = kind.new(), kind.batch(facts=5)
    order = torch.tensor([3, 1, 4, 0, 2])
    turned = inputs | {name: inputs[name][:, order] for name in ("fact_features", "fact_mask")}
    actual, expected = model(**turned), model(**inputs)
    tokens = inputs["input_ids"].shape[1]
    a, b = actual[kind.answer], expected[kind.answer]
    close(a[:, :tokens] if a.dim() > 2 else a, b[:, :tokens] if b.dim() > 2 else b)
    close(actual.fact_gate, expected.fact_gate[:, order])


@torch.no_grad()
def test_a_shut_gate_is_a_model_without_facts(kind):
    model, inputs = kind.new(), kind.batch()
    plain = {name: part for name, part in inputs.items() if not name.startswith("fact")}
    expected = model(**plain)[kind.answer]
    model.base_model.outlier_layer.gate.threshold.fill_(-1e4)
    close(model(**inputs)[kind.answer], expected)
    assert not torch.allclose(kind.new()(**inputs)[kind.answer], expected, atol=1e-4)


def test_gradients_reach_what_is_trained(kind):
    model = kind.new().train()
    model.freeze_towers()
    inputs = kind.batch() | kind.labels(4)
    model(**inputs).loss.backward()
    without = {name for name, part in model.named_parameters() if part.requires_grad and part.grad is None}
    if isinstance(model.config, VkoodConfig) and "rank_head.weight" in dict(model.named_parameters()):
        without -= {"rank_head.weight", "rank_head.bias"}  # no ranking was asked for
    assert not without
    towers = [part for name, part in model.named_parameters() if parameter_role(name) == "tower"]
    frozen = [part for part in towers if not part.requires_grad]
    assert frozen
    assert all(part.grad is None for part in frozen)
    core = model.base_model
    assert not core.image_tower.training
    model.eval().train()
    assert not core.image_tower.training


def test_gradient_checkpointing_changes_nothing(kind):
    inputs = kind.batch() | kind.labels(4)
    actual = []
    for checkpointing in (False, True):
        model = kind.new().train()
        if checkpointing:
            model.activation_checkpointing_enable()
        options = {"generator": torch.Generator().manual_seed(0)} if "image_ids" in inputs else {}
        model(**inputs, **options).loss.backward()
        actual.append({name: part.grad for name, part in model.named_parameters() if part.grad is not None})
    assert actual[0].keys() == actual[1].keys()
    for name, grad in actual[0].items():
        close(actual[1][name], grad)


@torch.no_grad()
def test_bfloat16_autocast(kind):
    model, inputs = kind.new(), kind.batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(**inputs)
    assert output.fact_score.dtype == torch.float32
    assert output[kind.answer].float().isfinite().all()


@pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)  # peft asks for it
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_lora(kind, frozen, checkpointing):
    model = kind.new().train()
    if frozen:
        model.freeze_towers()
    if checkpointing:
        model.activation_checkpointing_enable()
    targets = ["query", "key", "value", "q_proj", "v_proj", "qkv"]
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=targets))
    options = {"generator": torch.Generator().manual_seed(0)} if kind.answer == "match_logits" else {}
    adapted(**(kind.batch() | kind.labels(4)), **options).loss.backward()
    trained = {name: part for name, part in adapted.named_parameters() if part.requires_grad}
    assert trained
    assert all("lora_" in name and "momentum" not in name for name in trained)
    assert any("image_tower" in name for name in trained)
    assert all(part.grad is not None for part in trained.values())


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_the_momentum_encoder_follows_what_lora_adds():
    model = KINDS["BLIP retrieval"].new()
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["query"], init_lora_weights=False))
    layer = model.blip.text_encoder.encoder.layer[0].attention.self.query
    slow = model.momentum["blip"].text_encoder.encoder.layer[0].attention.self.query
    before = slow.weight.clone()
    model._move_momentum(0.25)
    close(slow.weight, 0.25 * before + 0.75 * (layer.base_layer.weight + layer.get_delta_weight("default")))
    assert not any("lora_" in name for name in model.momentum.state_dict())
    assert adapted.get_nb_trainable_parameters()[0] == sum(
        part.numel() for name, part in model.named_parameters() if "lora_" in name
    )


@torch.no_grad()
@pytest.mark.parametrize("size", [24, 36])
def test_images_of_any_size(kind, size):
    inputs = kind.batch()
    inputs["pixel_values"] = (
        inputs["pixel_values"][..., :size, :size]
        if size < 32
        else torch.randn(
            *inputs["pixel_values"].shape[:-2], size, size, generator=torch.Generator().manual_seed(0)
        )
    )
    assert kind.new()(**inputs)[kind.answer].isfinite().all()


@torch.no_grad()
def test_long_texts(kind):
    inputs = kind.batch(rows=2)
    inputs["input_ids"] = torch.randint(
        5, VOCABULARY - 3, (2, 512), generator=torch.Generator().manual_seed(0)
    )
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    assert kind.new()(**inputs)[kind.answer].isfinite().all()


def test_configurations_keep_what_they_were_told(kind, tmp_path):
    config = kind.new(gate={"joint_dim": 4, "kind": "kernel"}).config
    config.save_pretrained(tmp_path)
    loaded = type(config).from_pretrained(tmp_path)
    assert loaded.gate == config.gate
    assert loaded.to_dict() == config.to_dict() | {
        "transformers_version": loaded.to_dict()["transformers_version"]
    }
    assert isinstance(loaded, VkoodConfig | BlipVkoodConfig)
