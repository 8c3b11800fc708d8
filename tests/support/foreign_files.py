"""Small checkpoints as METER, BLIP and UniAdapter write them: names and shapes of theirs, random numbers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

METER_TEXT = {"model_type": "bert", "num_attention_heads": 2, "num_hidden_layers": 2}
BLIP_CONFIGS: dict[str, Any] = {
    "text_config": {"model_type": "bert", "num_attention_heads": 2},
    "image_config": {"num_heads": 2},
}
WIDTH, INNER, VOCABULARY, LAYERS = 16, 32, 50, 2


class _State(dict[str, Tensor]):
    """Named tensors, each with other numbers."""

    def __init__(self) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(5)

    def new(self, name: str, *shape: int) -> None:
        self[name] = 0.2 * torch.randn(*shape, generator=self._generator)

    def linear(self, name: str, out: int, into: int) -> None:
        self.new(f"{name}.weight", out, into)
        self.new(f"{name}.bias", out)

    def norm(self, name: str, width: int = WIDTH) -> None:
        self.new(f"{name}.weight", width)
        self[f"{name}.weight"] += 1
        self.new(f"{name}.bias", width)

    def bert_layer(self, name: str, *, cross: bool = False) -> None:
        for attention in ("attention", "crossattention") if cross else ("attention",):
            for part in ("query", "key", "value"):
                self.linear(f"{name}.{attention}.self.{part}", WIDTH, WIDTH)
            self.linear(f"{name}.{attention}.output.dense", WIDTH, WIDTH)
            self.norm(f"{name}.{attention}.output.LayerNorm")
        self.linear(f"{name}.intermediate.dense", INNER, WIDTH)
        self.linear(f"{name}.output.dense", WIDTH, INNER)
        self.norm(f"{name}.output.LayerNorm")

    def bert(self, name: str, *, cross: bool, types: bool) -> None:
        self.new(f"{name}.embeddings.word_embeddings.weight", VOCABULARY, WIDTH)
        self.new(f"{name}.embeddings.position_embeddings.weight", 40, WIDTH)
        if types:
            self.new(f"{name}.embeddings.token_type_embeddings.weight", 2, WIDTH)
        self.norm(f"{name}.embeddings.LayerNorm")
        self[f"{name}.embeddings.position_ids"] = torch.arange(40)[None]
        for layer in range(LAYERS):
            self.bert_layer(f"{name}.encoder.layer.{layer}", cross=cross)


def meter_state(heads: Iterable[str] = ("vqa",), *, token_types: int = 2, answers: int = 5) -> _State:
    """A two-stream model with the heads of some losses."""
    state = _State()
    for stream, width in (("text", WIDTH), ("image", 64)):
        state.linear(f"cross_modal_{stream}_transform", WIDTH, width)
        state.linear(f"cross_modal_{stream}_pooler.dense", WIDTH, WIDTH)
        for layer in range(LAYERS):
            state.bert_layer(f"cross_modal_{stream}_layers.{layer}", cross=True)
    state.new("token_type_embeddings.weight", token_types, WIDTH)
    state.bert("text_transformer", cross=False, types=True)
    state.linear("text_transformer.pooler.dense", WIDTH, WIDTH)
    tower = "vit_model.visual"
    state.new(f"{tower}.class_embedding", 64)
    state.new(f"{tower}.positional_embedding", 5, 64)
    state.new(f"{tower}.conv1.weight", 64, 3, 8, 8)
    for norm in ("ln_pre", "ln_post"):
        state.norm(f"{tower}.{norm}", 64)
    for block in range(LAYERS):
        name = f"{tower}.transformer.resblocks.{block}"
        state.new(f"{name}.attn.in_proj_weight", 192, 64)
        state.new(f"{name}.attn.in_proj_bias", 192)
        state.linear(f"{name}.attn.out_proj", 64, 64)
        state.norm(f"{name}.ln_1", 64)
        state.norm(f"{name}.ln_2", 64)
        state.linear(f"{name}.mlp.c_fc", INNER, 64)
        state.linear(f"{name}.mlp.c_proj", 64, INNER)
    state.new("vit_model.positional_embedding", 7, 8)  # of CLIP's text side
    for head in heads:
        _meter_head(state, head, answers)
    return state


def _meter_head(state: _State, head: str, answers: int) -> None:
    wide = 2 * WIDTH
    if head in ("vqa", "nlvr2", "snli"):
        name = f"{head}_classifier"
        state.linear(f"{name}.0", wide, 2 * wide if head == "nlvr2" else wide)
        state.norm(f"{name}.1", wide)
        state.linear(f"{name}.3", {"vqa": answers, "nlvr2": 2, "snli": 3}[head], wide)
    elif head == "itm":
        state.linear("itm_score.fc", 2, wide)
    elif head == "irtr":
        state.linear("rank_output", 1, wide)
    else:
        assert head == "mlm"
        state.linear("mlm_score.transform.dense", WIDTH, WIDTH)
        state.norm("mlm_score.transform.LayerNorm")
        state.new("mlm_score.decoder.weight", VOCABULARY, WIDTH)
        state.new("mlm_score.bias", VOCABULARY)


def meter_content(state: Any, **settings: Any) -> dict[str, Any]:
    """What Lightning saves of such a model."""
    config = {
        "tokenizer": "bert-tiny",
        "vit": "ViT-tiny",
        "num_heads": 2,
        "num_top_layer": LAYERS,
        "image_size": 16,
        "drop_rate": 0.1,
    }
    return {"epoch": 1, "state_dict": state, "hyper_parameters": {"config": config | settings}}


def blip_state(heads: Iterable[str] = ("vqa",), *, image_layers: int = LAYERS) -> _State:
    """A BLIP with the heads of some tasks: "vqa", "retrieval", "momentum", "queue"."""
    state = _State()
    _vit(state, "visual_encoder", image_layers)
    state.bert("text_encoder", cross=True, types=False)
    for head in heads:
        _blip_head(state, head, image_layers)
    return state


def _vit(state: _State, name: str, layers: int) -> None:
    state.new(f"{name}.cls_token", 1, 1, WIDTH)
    state.new(f"{name}.pos_embed", 1, 5, WIDTH)
    state.new(f"{name}.patch_embed.proj.weight", WIDTH, 3, 8, 8)
    state.new(f"{name}.patch_embed.proj.bias", WIDTH)
    for block in range(layers):
        start = f"{name}.blocks.{block}"
        state.norm(f"{start}.norm1")
        state.norm(f"{start}.norm2")
        state.linear(f"{start}.attn.qkv", 3 * WIDTH, WIDTH)
        state.linear(f"{start}.attn.proj", WIDTH, WIDTH)
        state.linear(f"{start}.mlp.fc1", INNER, WIDTH)
        state.linear(f"{start}.mlp.fc2", WIDTH, INNER)
    state.norm(f"{name}.norm")


def _blip_head(state: _State, head: str, image_layers: int) -> None:
    if head == "vqa":
        state.bert("text_decoder.bert", cross=True, types=False)
        predictions = "text_decoder.cls.predictions"
        state.linear(f"{predictions}.transform.dense", WIDTH, WIDTH)
        state.norm(f"{predictions}.transform.LayerNorm")
        state.new(f"{predictions}.bias", VOCABULARY)
        state[f"{predictions}.decoder.bias"] = state[f"{predictions}.bias"]
        state[f"{predictions}.decoder.weight"] = state["text_decoder.bert.embeddings.word_embeddings.weight"]
    elif head == "retrieval":
        for name, out in (("vision_proj", 8), ("text_proj", 8), ("itm_head", 2)):
            state.linear(name, out, WIDTH)
        state["temp"] = torch.tensor(0.05)
    elif head == "momentum":
        _vit(state, "visual_encoder_m", image_layers)
        state.bert("text_encoder_m", cross=True, types=False)
        for name in ("vision_proj_m", "text_proj_m"):
            state.linear(name, 8, WIDTH)
    else:
        assert head == "queue"
        state.new("image_queue", 8, 6)
        state.new("text_queue", 8, 6)
        state["idx_queue"] = torch.full((1, 6), -100)
        state["ptr_queue"] = torch.zeros(1, dtype=torch.long)


SWITCHES = {
    "modality": "image",
    "adapter": True,
    "adapter_textual": True,
    "adapter_visual": True,
    "adapter_multimodal": True,
    "video_key_adapter": False,
    "temporal_embed": False,
}


def adapted_state(
    *, vision: bool = True, text: bool = True, key_value: bool = False, adapters: int = 12, **options: Any
) -> _State:
    """A BLIP for VQA as UniAdapter saves it: adapters under the names of all that use them, and unused ones."""
    state = blip_state(**options)
    parts = _State()
    for number in range(adapters):
        parts.norm(f"{number}.adapter_layer_norm_before")
        parts.norm(f"{number}.adapter_layer_norm_cross_modal")
        parts.linear(f"{number}.down_proj", 4, WIDTH)
        for part in ("up_proj", "multi_up_proj", "visual_up_proj"):
            parts.linear(f"{number}.{part}", WIDTH, 4)
    for name, tensor in parts.items():
        number, _, part = name.partition(".")
        state[f"adapters.{name}"] = state[f"visual_encoder.adapters.{name}"] = tensor
        state[f"adapters_dec.{name}"] = tensor + 1
        if int(number) < options.get("image_layers", LAYERS) and vision:
            state[f"visual_encoder.blocks.{number}.adapter.{part}"] = tensor
        if int(number) < LAYERS and text:
            for encoder in ("text_encoder", "text_decoder.bert"):
                state[f"{encoder}.encoder.layer.{number}.adapter.{part}"] = tensor
    if key_value:
        for encoder in ("text_encoder", "text_decoder.bert"):
            for kind in ("key", "value"):
                name = f"{encoder}.encoder.video_{kind}_adapter"
                state.linear(f"{name}.down_proj", 3, WIDTH)
                state.linear(f"{name}.up_proj", WIDTH, 3)
                state.new(f"{name}.scale", 1)
    return state


def saved(path: Path, content: Any) -> Path:
    """The content in a file, as `torch.save` writes it."""
    plain = {name: dict(part) if isinstance(part, _State) else part for name, part in content.items()}
    torch.save(plain, path)
    return path
