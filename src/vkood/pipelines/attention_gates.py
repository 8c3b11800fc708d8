"""Gates in front of any vision-language or language model of `transformers`.

Facts stand in the prompt, and the logarithm of each fact's gate is added to the attention logits of its tokens as keys,
in every layer. A token that attends with the logits a_j then has the weights

    softmax_j(a_j + log g_j) = g_j exp(a_j) / sum_i g_i exp(a_i),

so that an open gate (g = 1) changes nothing, and a closed one (g = 0) takes its tokens out of every sum: nothing that
the model computes elsewhere depends on what stands there. Positions stay as they are.

Masks are where a bias may enter a model without touching its code: `transformers` asks a function, registered by name,
for the mask of every forward pass, with the place of the cache in the sequence, and models add masks of numbers to the
logits.

Legend: B prompts, F facts, P tokens of a prompt, Q queries, K keys.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.masking_utils import sdpa_mask

from vkood.fields import require_kind

_GATED = {"sdpa": "vkood_gated_sdpa", "eager": "vkood_gated_eager"}
_SOFTMAX_LAYERS = ("full_attention", "sliding_attention", "chunked_attention")


@dataclass(slots=True, eq=False)
class _Gates:
    """The gates of the prompts that a model reads at present.

    Attributes:
        log_gate: (B, P) of each token; those of gates within which these were set are added already.
        around: The gates within which these were set, if any.
        used: Whether a mask was made with them since the model last ran.
    """

    log_gate: Tensor
    around: _Gates | None
    used: bool = False

    def mark_used(self) -> None:
        self.used = True
        if self.around is not None:
            self.around.mark_used()


_gates_of: dict[int, _Gates] = {}
"""By the identity of the configuration: the one thing that a mask function knows of the model that asks."""


@contextmanager
def gate_attention(
    model: PreTrainedModel,
    log_gate: Float[Tensor, "batch facts"] | Float[Tensor, "batch tokens"],
    fact_of_token: Int[Tensor, "batch tokens"] | None = None,
) -> Generator[None]:
    """Add the logarithms of gates to the attention logits of prompts' tokens as keys, in every layer of a model.

    Within the `with` block, the model's forward passes and `generate` are gated, with or without a cache, and gradients
    reach the gates. Afterwards, also after an error, the model is as it was. Blocks may be nested: their gates
    multiply. Tokens that are generated have no gate. A single thread may use the model at a time.

    All gates open give the model itself: the same numbers where its attention takes a mask anyway, and those of another
    kernel, alike to rounding, where it would have none. What looks at a prompt's tokens without attention, such as a
    repetition penalty, sees facts behind closed gates too.

    Args:
        model: A model of `transformers` whose attention is `sdpa` or `eager`.
        log_gate: (batch, facts) logarithms of the gates, from minus infinity to 0, as in `GateOutput.log_gate`; or
            those of the tokens, (batch, tokens), if `fact_of_token` is None.
        fact_of_token: (batch, tokens) which fact each token of the padded prompts belongs to, -1 for none, as
            `fact_prompts` makes it.

    Raises:
        TypeError: If `model` is no model of `transformers`.
        ValueError: If the model's attention cannot be gated (other implementations, such as flash attention;
            encoder-decoders; layers without softmax attention), or the gates are no logarithms of gates; within the
            block, if the model reads other prompts than those that the gates are of.
        RuntimeError: Within the block, if the model ran without asking for a mask, as with a mask of its own from the
            caller.

    Example:
        >>> import torch
        >>> from transformers import LlamaConfig, LlamaForCausalLM
        >>> sizes = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
        >>> model = LlamaForCausalLM(LlamaConfig(**sizes, num_hidden_layers=2)).eval()
        >>> fact_of_token = torch.tensor([[-1, 0, 0, 1, 1, -1]])
        >>> log_gate = torch.tensor([[0.0, -torch.inf]])  # the second fact's gate is closed
        >>> with torch.no_grad(), gate_attention(model, log_gate, fact_of_token):
        ...     logits = model(torch.tensor([[1, 7, 8, 9, 10, 2]])).logits
        ...     same = model(torch.tensor([[1, 7, 8, 33, 44, 2]])).logits
        >>> bool((logits[0, -1] == same[0, -1]).all())
        True
    """
    configs = _require_gateable(model)
    token_log_gate = _of_tokens(log_gate, fact_of_token)
    around = next((_gates_of[id(config)] for config in configs if id(config) in _gates_of), None)
    if around is not None:
        if around.log_gate.shape != token_log_gate.shape:
            raise ValueError(
                f"The gates must be of the tokens of the same prompts as those of the block around, "
                f"{tuple(around.log_gate.shape)}; got {tuple(token_log_gate.shape)}."
            )
        token_log_gate = token_log_gate + around.log_gate.to(token_log_gate)
    gates = _Gates(token_log_gate, around)
    # Other models may have been made of the same configuration objects, and are not to be gated: so the model gets
    # copies for the time, which share what the originals share.
    originals = _configured(model)
    copies: dict[int, Any] = {}
    kept = [copy.deepcopy(config, copies) for _, config in originals]
    gated: list[Any] = [copies[id(config)] for config in configs]
    hook = model.register_forward_hook(lambda module, arguments, output: _require_used(gates))
    try:
        for (module, _), config in zip(originals, kept, strict=True):
            module.config = config
        for config in gated:
            implementation = config._attn_implementation
            config._attn_implementation = {"": _GATED.get(implementation, implementation)}  # not of its parts
            _gates_of[id(config)] = gates
        yield
    finally:
        hook.remove()
        for config in gated:
            _gates_of.pop(id(config), None)
        for module, config in originals:
            module.config = config


def _configured(module: nn.Module) -> list[tuple[Any, PreTrainedConfig]]:
    """The modules within that have a configuration, each with its own."""
    parts = [(part, getattr(part, "config", None)) for part in module.modules()]
    return [(part, config) for part, config in parts if isinstance(config, PreTrainedConfig)]


def _require_gateable(model: PreTrainedModel) -> list[PreTrainedConfig]:
    """The configurations of the language model's layers, whose attention is gated, if it can be."""
    if not isinstance(model, PreTrainedModel):
        raise TypeError(
            f"`model` must be a model of transformers; got {type(model).__name__}. "
            "Pass what it wraps: `model.get_base_model()` of PEFT's models, `model._orig_mod` of compiled ones."
        )
    name = type(model).__name__
    if model.config.is_encoder_decoder:
        raise ValueError(
            f"`model` must be a decoder; {name} is an encoder and a decoder, and facts would pass from one to the "
            "other ungated. Leave closed facts out of its prompt: `open_facts`."
        )
    decoder = cast(nn.Module, model.get_decoder())
    own = [model.config.get_text_config(decoder=True), *(config for _, config in _configured(decoder))]
    configs = {id(config): config for config in own}
    for config in configs.values():
        _require_softmax(config, name, stateful=bool(model._is_stateful))
        implementation = config._attn_implementation
        if implementation not in (*_GATED, *_GATED.values()):
            raise ValueError(
                f'`model` must have the attention implementation "sdpa" or "eager"; that of {name} is '
                f'{implementation!r}, which takes no gates. Call `model.set_attn_implementation("sdpa")`.'
            )
    parts = [part for part in decoder.modules() if isinstance(part, PreTrainedModel)]
    fixed = next((part for part in parts if not part._can_set_attn_implementation()), None)
    if fixed is not None:
        raise ValueError(
            f"`model` must leave its attention to an exchangeable function; {type(fixed).__name__} has it fixed in its "
            "code. Leave closed facts out of its prompt: `open_facts`."
        )
    return list(configs.values())


def _require_softmax(config: PreTrainedConfig, name: str, *, stateful: bool) -> None:
    kinds = set(getattr(config, "layer_types", None) or ()).difference(_SOFTMAX_LAYERS)
    if stateful or kinds:
        others = ", ".join(sorted(kinds)) or "a recurrent state"
        raise ValueError(
            f"`model` must have layers of softmax attention alone; {name} has {others}, through which facts would pass "
            "ungated. Leave closed facts out of its prompt: `open_facts`."
        )


def _of_tokens(log_gate: Tensor, fact_of_token: Tensor | None) -> Float[Tensor, "batch tokens"]:
    """The gates' logarithms token by token, 0 where there is no fact."""
    require_kind("log_gate", log_gate, Tensor)
    if log_gate.dim() != 2 or not log_gate.is_floating_point():
        raise ValueError(
            f"`log_gate` must be numbers of shape (batch, facts), or (batch, tokens) without `fact_of_token`; got "
            f"{log_gate.dtype} of shape {tuple(log_gate.shape)}."
        )
    if not bool((log_gate <= 0).all()):
        raise ValueError(
            "`log_gate` must be logarithms of gates, from minus infinity to 0; some are above 0 or NaN. "
            "Pass `GateOutput.log_gate`, not `gate` or `score`."
        )
    if fact_of_token is None:
        return log_gate
    require_kind("fact_of_token", fact_of_token, Tensor)
    batch, facts = log_gate.shape
    if fact_of_token.dim() != 2 or len(fact_of_token) != batch or fact_of_token.dtype != torch.long:
        raise ValueError(
            f"`fact_of_token` must be int64 of shape (batch, tokens), with the {batch} rows of `log_gate`; got "
            f"{fact_of_token.dtype} of shape {tuple(fact_of_token.shape)}."
        )
    if fact_of_token.numel() and not -1 <= int(fact_of_token.min()) <= int(fact_of_token.max()) < facts:
        raise ValueError(
            f"`fact_of_token` must be from -1 (no fact) to {facts - 1}, for the {facts} facts of `log_gate`; got "
            f"{int(fact_of_token.min())} to {int(fact_of_token.max())}."
        )
    fact_of_token = fact_of_token.to(log_gate.device)
    with_none = torch.cat([log_gate, log_gate.new_zeros(batch, 1)], dim=1)  # (B, F + 1)
    return with_none.gather(1, fact_of_token.remainder(facts + 1))  # -1 becomes the last column


def _gated_mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: Any = 0,
    kv_offset: int = 0,
    *,
    config: PreTrainedConfig,
    dtype: torch.dtype = torch.float32,
    **options: Any,
) -> Float[Tensor, "batch 1 queries keys"]:
    """The mask that the model asks for, as numbers to add to logits, with the gates of the keys in it."""
    gates = _gates_of.get(id(config))
    if gates is None:
        raise RuntimeError(
            "This copy of a model was made within `gate_attention`, and has no gates of its own: copy it outside."
        )
    # Without a mask, attention would need no bias: so none may be skipped.
    options |= {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": False}
    allowed = cast(Tensor, sdpa_mask(batch_size, q_length, kv_length, q_offset, kv_offset, **options))
    prompts, tokens = gates.log_gate.shape
    keys = kv_offset + kv_length
    if prompts != batch_size:
        beams = (
            f" For beams or several sequences of each prompt, repeat its gates: "
            f"`log_gate.repeat_interleave({batch_size // prompts}, dim=0)`, and `fact_of_token` alike."
            if prompts and batch_size % prompts == 0
            else ""
        )
        raise ValueError(f"The gates are of {prompts} prompts; the model was given {batch_size}.{beams}")
    if keys < tokens:
        raise ValueError(
            f"The gates are of prompts of {tokens} tokens; the model was given {keys}. Gates belong to the padded "
            "prompts, picture tokens included, read in one piece."
        )
    gates.mark_used()
    log_gate = gates.log_gate.to(allowed.device)
    log_gate = nn.functional.pad(log_gate, (0, keys - tokens))[:, kv_offset:]  # (B, K)
    # The lowest number, not minus infinity: a token that sees closed facts alone, as the first of a prompt may, then
    # attends to all alike, which nothing open looks at, and not to NaN. Single precision has lower numbers than
    # bfloat16, which autocast would round to minus infinity.
    lowest = max(torch.finfo(dtype).min, torch.finfo(torch.bfloat16).min)
    bias = log_gate.float().clamp_min(lowest).to(dtype)[:, None, None]  # (B, 1, 1, K)
    return torch.where(allowed, bias, lowest)


def _require_used(gates: _Gates) -> None:
    if not gates.used:
        raise RuntimeError(
            "The model ran without its gates, since it asked for no mask: was it given an attention mask of four "
            "dimensions? Pass one of (batch, tokens)."
        )
    gates.used = False


def _own_eager_attention(module: nn.Module, *arguments: Any, **options: Any) -> Any:
    """What the model's own code computes by default; its file has it under this name by convention."""
    for kind in type(module).__mro__:
        attend = getattr(sys.modules.get(kind.__module__), "eager_attention_forward", None)
        if attend is not None:
            return attend(module, *arguments, **options)
    raise ValueError(
        f"The eager attention of {type(module).__name__} is not where models of transformers have it: "
        'call `model.set_attn_implementation("sdpa")`.'
    )


AttentionInterface.register(_GATED["sdpa"], AttentionInterface()["sdpa"])
AttentionInterface.register(_GATED["eager"], _own_eager_attention)
for _name in _GATED.values():
    AttentionMaskInterface.register(_name, _gated_mask)
