import copy
import re

import pytest
import torch
from torch.nn import functional
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3NextConfig,
    Qwen3NextForCausalLM,
    RwkvConfig,
    RwkvForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

import vkood
from support.tiny_vlms import FIRST_WORD, SIZES, VOCABULARY, tiny_prompts, tiny_vlm
from vkood.pipelines.attention_gates import _gates_of, gate_attention

KINDS = ("llama", "llava", "smolvlm", "qwen3-vl")
OPEN = torch.zeros(2, 2)
HALF = torch.tensor([[-0.7, -1.5], [-0.4, -torch.inf]])  # the second prompt has one fact
every_model = pytest.mark.parametrize("kind", KINDS)
every_attention = pytest.mark.parametrize("implementation", ["sdpa", "eager"])
every_padding = pytest.mark.parametrize("padding", ["left", "right"])


def logits(model, inputs):
    """Of the tokens that are not padding."""
    return model(**inputs).logits[inputs["attention_mask"].bool()]


def stepwise(model, prompts, steps):
    """Greedy generation that reads everything again for each token."""
    ids = prompts.inputs["input_ids"]
    for _ in range(steps):
        following = model(**prompts.with_tokens(ids), use_cache=False).logits[:, -1].argmax(-1)
        ids = torch.cat([ids, following[:, None]], dim=1)
    return ids


@every_model
@every_attention
@every_padding
@torch.no_grad()
def test_open_gates_are_the_model_itself_to_the_bit(kind, implementation, padding):
    model, prompts = tiny_vlm(kind, implementation), tiny_prompts(kind, padding)
    expected = logits(model, prompts.inputs)
    with gate_attention(model, OPEN, prompts.fact_of_token):
        assert torch.equal(logits(model, prompts.inputs), expected)
    assert torch.equal(logits(model, prompts.inputs), expected)


@every_model
@every_attention
@every_padding
@torch.no_grad()
def test_whatever_stands_behind_a_closed_gate_changes_nothing(kind, implementation, padding):
    model, prompts = tiny_vlm(kind, implementation), tiny_prompts(kind, padding)
    closed = torch.tensor([[0.0, -torch.inf], [-torch.inf, -torch.inf]])
    others = prompts.inputs["input_ids"].clone()
    behind = (prompts.fact_of_token == torch.tensor([[1], [0]])) & (prompts.fact_of_token >= 0)
    others[behind] = FIRST_WORD + (others[behind] - FIRST_WORD + 7) % (VOCABULARY - 1 - FIRST_WORD)
    visible = prompts.inputs["attention_mask"].bool() & ~behind
    with gate_attention(model, closed, prompts.fact_of_token):
        first = model(**prompts.inputs).logits[visible]
        second = model(**prompts.with_tokens(others)).logits[visible]
    assert torch.equal(first, second)
    ungated = [model(**inputs).logits for inputs in (prompts.inputs, prompts.with_tokens(others))]
    assert not torch.allclose(ungated[0][visible], ungated[1][visible], atol=1e-3)


@every_attention
@torch.no_grad()
def test_a_fact_behind_a_closed_gate_might_be_deleted(implementation):
    """Deleted with its places in the sequence, which a model without pictures takes from its caller."""
    model, prompts = tiny_vlm("llama", implementation), tiny_prompts("llama", "right")
    ids, owners = prompts.inputs["input_ids"][:1], prompts.fact_of_token[:1]
    kept = owners[0] != 1
    with gate_attention(model, torch.tensor([[-0.3, -torch.inf]]), owners):
        gated = model(ids).logits[:, kept]
    mask = torch.ones(1, int(kept.sum()), dtype=torch.long)
    with gate_attention(model, torch.tensor([[-0.3]]), owners[:, kept]):
        deleted = model(ids[:, kept], attention_mask=mask, position_ids=kept.nonzero().T).logits
    torch.testing.assert_close(gated, deleted, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_weights_of_keys_are_multiplied_by_their_gates():
    model, prompts = tiny_vlm("llama", "eager"), tiny_prompts("llama", "right")
    plain = model(**prompts.inputs, output_attentions=True).attentions[0][0]  # (heads, queries, keys)
    with gate_attention(model, HALF, prompts.fact_of_token):
        gated = model(**prompts.inputs, output_attentions=True).attentions[0][0]
    gate = torch.cat([HALF[0].exp(), torch.ones(1)])[prompts.fact_of_token[0]]
    torch.testing.assert_close(gated, functional.normalize(plain * gate, p=1, dim=-1))


@every_model
@every_attention
@torch.no_grad()
def test_generation_with_the_cache_is_that_without_it(kind, implementation):
    model, prompts = tiny_vlm(kind, implementation), tiny_prompts(kind, "left")
    options = {"max_new_tokens": 8, "do_sample": False}
    with gate_attention(model, HALF, prompts.fact_of_token):
        expected = stepwise(model, prompts, 8)
        cached = model.generate(**prompts.inputs, **options)
        static = model.generate(**prompts.inputs, **options, cache_implementation="static")
    assert torch.equal(cached, expected)
    assert torch.equal(static, expected)
    assert not torch.equal(model.generate(**prompts.inputs, **options), expected)


@torch.no_grad()
def test_windows_of_attention_and_their_cache_know_where_facts_stand():
    torch.manual_seed(0)
    kinds = ["sliding_attention", "full_attention"]
    config = Qwen2Config(**SIZES, layer_types=kinds, sliding_window=4, use_sliding_window=True)
    model = Qwen2ForCausalLM(config).eval()
    prompts = tiny_prompts("llama", "left")
    with gate_attention(model, HALF, prompts.fact_of_token):
        expected = stepwise(model, prompts, 8)
        assert torch.equal(model.generate(**prompts.inputs, max_new_tokens=8, do_sample=False), expected)
    assert not torch.equal(stepwise(model, prompts, 8), expected)


@every_model
@every_padding
@torch.no_grad()
def test_a_prompt_does_not_depend_on_those_beside_it(kind, padding):
    model, prompts = tiny_vlm(kind, "sdpa"), tiny_prompts(kind, padding)
    with gate_attention(model, HALF, prompts.fact_of_token):
        both = model(**prompts.inputs).logits
    for row, length in enumerate(prompts.lengths):
        part = slice(-length, None) if padding == "left" else slice(None, length)
        alone = {
            name: value[row : row + 1, part] if value.shape[1] == both.shape[1] else value[row : row + 1]
            for name, value in prompts.inputs.items()
        }
        if kind == "qwen3-vl":
            alone["pixel_values"] = prompts.inputs["pixel_values"][16 * row : 16 * (row + 1)]
        facts = prompts.fact_of_token[row : row + 1, part]
        with gate_attention(model, HALF[row : row + 1], facts):
            logits = model(**alone).logits
        torch.testing.assert_close(both[row, part], logits[0], atol=1e-5, rtol=1e-4)


@every_model
@every_attention
def test_gradients_reach_the_gates(kind, implementation):
    """Against central differences; models compute norms in single precision, whatever their weights."""
    model, prompts = tiny_vlm(kind, implementation), tiny_prompts(kind, "left")
    direction = torch.randn(2, VOCABULARY)

    def value(log_gate):
        with gate_attention(model, log_gate, prompts.fact_of_token):
            return (functional.log_softmax(model(**prompts.inputs).logits[:, -1], -1) * direction).sum()

    log_gate = torch.tensor([[-0.7, -1.5], [-0.4, -0.2]], requires_grad=True)
    (gradient,) = torch.autograd.grad(value(log_gate), log_gate)
    with torch.no_grad():
        steps = 5e-3 * torch.eye(4).view(4, 2, 2)
        differences = torch.stack([value(log_gate + step) - value(log_gate - step) for step in steps]) / 1e-2
    torch.testing.assert_close(gradient, differences.view(2, 2), atol=0.02, rtol=0.01)
    assert gradient.flatten()[:3].abs().min() > 0.05  # the fourth gate has no fact
    assert gradient[1, 1] == 0


def test_closed_gates_have_finite_gradients():
    model, prompts = tiny_vlm("llama", "sdpa"), tiny_prompts("llama", "left")
    log_gate = torch.full((2, 2), -torch.inf, requires_grad=True)
    with gate_attention(model, log_gate, prompts.fact_of_token):
        loss = model(**prompts.inputs, labels=prompts.inputs["input_ids"]).loss
    loss.backward()
    assert log_gate.grad.isfinite().all()
    assert all(weight.grad.isfinite().all() for weight in model.parameters())


@torch.no_grad()
def test_a_prompt_that_begins_with_a_fact_behind_a_closed_gate():
    """Its first tokens see nothing but themselves, and nothing sees them."""
    for implementation in ("sdpa", "eager"):
        model = tiny_vlm("llama", implementation)
        ids = torch.tensor([[7, 8, 9, 10, 11], [17, 18, 9, 10, 11]])
        owners = torch.tensor([[0, 0, -1, -1, -1]] * 2)
        logits = []
        for row in range(2):  # by itself: rows of one product may differ in the order of their sums
            with gate_attention(model, torch.full((1, 1), -torch.inf), owners[row : row + 1]):
                logits.append(model(ids[row : row + 1]).logits)
        assert all(row.isfinite().all() for row in logits)
        assert torch.equal(logits[0][:, 2:], logits[1][:, 2:])


@every_attention
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_half_precision_and_autocast(implementation, dtype):
    model, prompts = tiny_vlm("llama", implementation), tiny_prompts("llama", "left")
    with gate_attention(model, HALF, prompts.fact_of_token):
        expected = logits(model, prompts.inputs)
        with torch.autocast("cpu", dtype):
            cast = logits(model, prompts.inputs)
        halved = logits(model.to(dtype), prompts.inputs)
    for result in (cast.float(), halved.float()):
        assert result.isfinite().all()
        torch.testing.assert_close(result, expected, atol=0.3, rtol=0.1)


@every_attention
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@torch.no_grad()
def test_gates_of_any_precision(implementation, dtype):
    model, prompts = tiny_vlm("llama", implementation), tiny_prompts("llama", "left")
    closed = torch.tensor([[0.0, -torch.inf], [-0.5, 0.0]])
    results = []
    for log_gate in (closed, closed.to(dtype)):
        with gate_attention(model, log_gate, prompts.fact_of_token):
            results.append(logits(model, prompts.inputs))
    torch.testing.assert_close(results[1], results[0])


@torch.no_grad()
def test_gates_of_tokens():
    model, prompts = tiny_vlm("llama", "sdpa"), tiny_prompts("llama", "left")
    of_tokens = torch.cat([HALF, torch.zeros(2, 1)], 1).gather(1, prompts.fact_of_token % 3)
    with gate_attention(model, HALF, prompts.fact_of_token):
        expected = logits(model, prompts.inputs)
    with gate_attention(model, of_tokens):
        assert torch.equal(logits(model, prompts.inputs), expected)


@torch.no_grad()
def test_nested_gates_multiply_and_end_one_after_the_other():
    model, prompts = tiny_vlm("llama", "sdpa"), tiny_prompts("llama", "left")
    plain, owners = logits(model, prompts.inputs), prompts.fact_of_token
    with gate_attention(model, HALF + HALF, owners):
        product = logits(model, prompts.inputs)
    with gate_attention(model, HALF, owners):
        outer = logits(model, prompts.inputs)
        with gate_attention(model, HALF, owners):
            assert torch.equal(logits(model, prompts.inputs), product)
        assert torch.equal(logits(model, prompts.inputs), outer)
        with pytest.raises(ValueError, match=r"same prompts .* \(2, 9\); got \(2, 4\)"):
            gate_attention(model, torch.zeros(2, 4)).__enter__()
        assert torch.equal(logits(model, prompts.inputs), outer)
    assert torch.equal(logits(model, prompts.inputs), plain)
    assert not torch.allclose(outer, product)


@torch.no_grad()
def test_several_models_at_once_even_of_the_same_configuration():
    first, prompts = tiny_vlm("llama", "sdpa"), tiny_prompts("llama", "left")
    second = LlamaForCausalLM(first.config).eval()
    plain = logits(second, prompts.inputs)
    with gate_attention(second, HALF, prompts.fact_of_token):
        alone = logits(second, prompts.inputs)
    with gate_attention(first, 2 * HALF, prompts.fact_of_token):
        assert torch.equal(logits(second, prompts.inputs), plain)
        with gate_attention(second, HALF, prompts.fact_of_token):
            assert torch.equal(logits(second, prompts.inputs), alone)


@every_model
def test_the_model_is_as_it_was_also_after_an_error(kind):
    model, prompts = tiny_vlm(kind, "sdpa"), tiny_prompts(kind, "left")
    before = [(module, module.config) for module in model.modules() if hasattr(module, "config")]
    implementations = [config._attn_implementation for _, config in before]
    for _ in range(2):
        with pytest.raises(KeyError), gate_attention(model, HALF, prompts.fact_of_token):
            raise KeyError
    assert all(module.config is config for module, config in before)
    assert [config._attn_implementation for _, config in before] == implementations
    assert not model._forward_hooks
    assert not _gates_of


def test_training_with_gradient_checkpointing():
    model, prompts = tiny_vlm("llama", "sdpa").train(), tiny_prompts("llama", "right")
    gradients = []
    for checkpointing in (False, True):
        if checkpointing:
            model.activation_checkpointing_enable()
        log_gate = torch.full((2, 2), -0.5, requires_grad=True)
        with gate_attention(model, log_gate, prompts.fact_of_token):
            loss = model(**prompts.inputs, labels=prompts.inputs["input_ids"], use_cache=False).loss
        loss.backward()  # outside, where layers are computed again
        gradients.append(log_gate.grad)
    assert torch.equal(*gradients)


@torch.no_grad()
def test_beams_have_gates_of_their_own():
    model, prompts = tiny_vlm("llama", "sdpa"), tiny_prompts("llama", "left")
    options = {"max_new_tokens": 4, "do_sample": False, "num_beams": 3}
    with (
        gate_attention(model, HALF, prompts.fact_of_token),
        pytest.raises(ValueError, match=r"2 prompts; the model was given 6.*repeat_interleave\(3, dim=0\)"),
    ):
        model.generate(**prompts.inputs, **options)
    repeated = [tensor.repeat_interleave(3, dim=0) for tensor in (HALF, prompts.fact_of_token)]
    with gate_attention(model, *repeated):
        together = model.generate(**prompts.inputs, **options)
    row = {name: value[:1] for name, value in prompts.inputs.items()}
    with gate_attention(model, *(tensor[:3] for tensor in repeated)):
        assert torch.equal(model.generate(**row, **options), together[:1])


@torch.no_grad()
def test_other_prompts_than_those_of_the_gates():
    model, prompts = tiny_vlm("llama", "sdpa"), tiny_prompts("llama", "left")
    ids = prompts.inputs["input_ids"]
    with gate_attention(model, HALF, prompts.fact_of_token):
        with pytest.raises(ValueError, match="prompts of 9 tokens; the model was given 5"):
            model(ids[:, :5])
        with pytest.raises(ValueError, match=r"2 prompts; the model was given 3\.$"):
            model(ids[[0, 0, 1]])
        with pytest.raises(RuntimeError, match=r"without its gates.*four dimensions"):
            model(ids, attention_mask=torch.ones(2, 1, 9, 9, dtype=torch.bool))
        model(ids)
        inner = copy.deepcopy(model)
    with pytest.raises(RuntimeError, match="made within `gate_attention`"):
        inner(ids)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("log_gate", "fact_of_token", "problem"),
    [
        (torch.zeros(2), None, "shape (batch, facts), or (batch, tokens)"),
        (torch.zeros(2, 2, dtype=torch.long), None, "numbers of shape"),
        (torch.tensor([[0.1]]), None, "from minus infinity to 0; some are above 0 or NaN"),
        (torch.tensor([[torch.nan]]), None, "from minus infinity to 0; some are above 0 or NaN"),
        (
            torch.zeros(2, 2),
            torch.zeros(1, 9, dtype=torch.long),
            "with the 2 rows of `log_gate`; got torch.int64",
        ),
        (torch.zeros(2, 2), torch.zeros(2, 9), "must be int64 of shape (batch, tokens)"),
        (
            torch.zeros(2, 2),
            torch.full((2, 9), 2),
            "from -1 (no fact) to 1, for the 2 facts of `log_gate`; got 2 to 2",
        ),
        (torch.zeros(2, 2), torch.full((2, 9), -2), "from -1 (no fact) to 1"),
    ],
)
def test_gates_that_are_none(log_gate, fact_of_token, problem):
    model = tiny_vlm("llama", "sdpa")
    with (
        pytest.raises(ValueError, match=re.escape(problem)),
        gate_attention(model, log_gate, fact_of_token),
    ):
        pass
    assert not _gates_of


def small(config, cls, **changes):
    return cls(config(**(SIZES | changes)))


@pytest.mark.usefixtures("unchecked")
def test_models_whose_attention_takes_no_gates():
    class Wrapped(torch.nn.Module):
        pass

    def refused(model, problem, kind=ValueError):
        with pytest.raises(kind, match=problem), gate_attention(model, OPEN):
            pass

    refused(Wrapped(), r"model of transformers; got Wrapped.*get_base_model\(\)", TypeError)
    t5 = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 0}
    refused(T5ForConditionalGeneration(T5Config(vocab_size=9, **t5)), "T5.* is an encoder and a decoder")
    flash = tiny_vlm("llama", "sdpa")
    flash.config._attn_implementation = "flash_attention_2"
    refused(flash, r'that of Llama.* is \'flash_attention_2\'.*set_attn_implementation\("sdpa"\)')
    bloom = BloomForCausalLM(BloomConfig(vocab_size=9, hidden_size=16, n_layer=1, n_head=2))
    refused(bloom, "Bloom.* has it fixed in its code")
    recurrent = RwkvForCausalLM(RwkvConfig(vocab_size=9, hidden_size=16, num_hidden_layers=2))
    refused(recurrent, "softmax attention alone; Rwkv.* has a recurrent state")
    linear = small(Qwen3NextConfig, Qwen3NextForCausalLM, layer_types=["linear_attention", "full_attention"])
    refused(linear, "Qwen3Next.* has linear_attention, through which facts would pass")


def test_the_package_offers_it():
    assert vkood.gate_attention is gate_attention
