"""Small random models of `transformers` that read prompts, with or without pictures, and prompts for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)

VOCABULARY = 60
PAD, START, END, IMAGE, VISION_START = 0, 1, 2, 3, 4
FIRST_WORD = 6
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "initializer_range": 0.3,
    "pad_token_id": PAD,
    "bos_token_id": START,
    "eos_token_id": None,
}
_VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}


@dataclass
class Prompts:
    """Two prompts of different lengths: the first has two facts, the second one.

    Attributes:
        inputs: What the model takes.
        fact_of_token: (2, tokens) -1 where there is no fact.
        lengths: How many tokens each has without its padding.
    """

    inputs: dict[str, Any]
    fact_of_token: Tensor
    lengths: list[int]

    def with_tokens(self, input_ids: Tensor) -> dict[str, Any]:
        """The inputs with other tokens, padded by ones of attention on the right if there are more."""
        more = input_ids.shape[1] - self.inputs["input_ids"].shape[1]
        mask = torch.nn.functional.pad(self.inputs["attention_mask"], (0, more), value=1)
        changed = {"input_ids": input_ids, "attention_mask": mask}
        if "mm_token_type_ids" in self.inputs:
            changed["mm_token_type_ids"] = (input_ids == IMAGE).int()
        return self.inputs | changed


def tiny_vlm(kind: str, implementation: str) -> Any:
    """A random model in evaluation mode, always with the same weights."""
    torch.manual_seed(0)
    vision: Any
    if kind == "llama":
        config: Any = LlamaConfig(**SIZES)
        cls: Any = LlamaForCausalLM
    elif kind == "llava":
        text = LlamaConfig(**SIZES).to_dict()
        vision = _VISION | {"model_type": "clip_vision_model", "image_size": 16, "patch_size": 8}
        config = LlavaConfig(
            vision_config=vision, text_config=text, image_token_index=IMAGE, image_seq_length=4
        )
        cls = LlavaForConditionalGeneration
    elif kind == "smolvlm":
        text = LlamaConfig(**SIZES).to_dict()
        vision = _VISION | {"image_size": 16, "patch_size": 4}
        config = SmolVLMConfig(
            vision_config=vision, text_config=text, image_token_id=IMAGE, scale_factor=2, pad_token_id=PAD
        )
        cls = SmolVLMForConditionalGeneration
    else:
        text = SIZES | {"rope_parameters": {"rope_type": "default", "mrope_section": [2, 1, 1]}}
        vision = {
            "hidden_size": 16,
            "intermediate_size": 16,
            "depth": 2,
            "num_heads": 2,
            "patch_size": 4,
            "out_hidden_size": 32,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0],
        }
        config = Qwen3VLConfig(
            vision_config=vision,
            text_config=text,
            image_token_id=IMAGE,
            vision_start_token_id=VISION_START,
            vision_end_token_id=5,
            video_token_id=VOCABULARY - 1,
        )
        cls = Qwen3VLForConditionalGeneration
    config._attn_implementation = implementation
    return cls(config).eval()


def tiny_prompts(kind: str, padding: str) -> Prompts:
    """Two prompts for such a model, padded on this side: `[start, picture, facts, question]`."""
    generator = torch.Generator().manual_seed(1)
    picture = [] if kind == "llama" else [VISION_START, *[IMAGE] * 4, 5]
    head = len(picture) + 1
    facts = [[-1] * head + [0, 0, 1, 1, 1, -1, -1, -1], [-1] * head + [0, 0, -1, -1]]
    length = len(facts[0])
    ids, mask, owners = [], [], []
    for owner in facts:
        words = torch.randint(FIRST_WORD, VOCABULARY - 1, (len(owner) - head,), generator=generator).tolist()
        blank = length - len(owner)
        row = [START, *picture, *words]
        left, right = (blank, 0) if padding == "left" else (0, blank)
        ids.append([PAD] * left + row + [PAD] * right)
        mask.append([0] * left + [1] * len(row) + [0] * right)
        owners.append([-1] * left + owner + [-1] * right)
    inputs: dict[str, Any] = {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}
    pixels = torch.randn(2, 3, 16, 16, generator=generator)
    if kind == "llava":
        inputs["pixel_values"] = pixels
    elif kind == "smolvlm":
        inputs["pixel_values"] = pixels[:, None]
    elif kind == "qwen3-vl":
        inputs["pixel_values"] = torch.randn(32, 3 * 2 * 4 * 4, generator=generator)
        inputs["image_grid_thw"] = torch.tensor([[1, 4, 4]] * 2)
        inputs["mm_token_type_ids"] = (inputs["input_ids"] == IMAGE).int()
    return Prompts(inputs, torch.tensor(owners), [len(owner) for owner in facts])
