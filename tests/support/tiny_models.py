"""Models small enough for tests, and batches for them."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import BertConfig, ResNetConfig

from vkood.models import VkoodConfig


def tiny_config(**changes: object) -> VkoodConfig:
    """A configuration with a convolutional tower; `changes` go to `VkoodConfig`."""
    options: dict[str, object] = {
        "image_config": ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"
        ),
        "text_config": BertConfig(
            vocab_size=50,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=32,
        ),
        "fact_dim": 12,
        "hidden_size": 16,
        "num_attention_heads": 2,
        "num_fusion_layers": 2,
        "num_labels": 5,
        "initializer_range": 0.2,
        "dropout": 0.0,
        "gate": {"joint_dim": 8, "num_components": 2},
    }
    return VkoodConfig(**(options | changes))


def tiny_batch(rows: int = 3, facts: int = 4, words: int = 6) -> dict[str, Tensor]:
    """A batch whose rows differ in their numbers of words and facts."""
    counts = torch.arange(rows)
    attention_mask = (torch.arange(words) < (words - counts % 3)[:, None]).long()
    return {
        "pixel_values": torch.randn(rows, 3, 32, 32),
        "input_ids": torch.randint(1, 50, (rows, words)) * attention_mask,
        "attention_mask": attention_mask,
        "fact_features": torch.randn(rows, facts, 12),
        "fact_mask": torch.arange(facts) < (facts - counts % 2)[:, None],
    }
