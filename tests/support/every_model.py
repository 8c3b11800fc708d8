"""Small models of every class, and batches for them: what one contract asks of all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import BertConfig, CLIPVisionConfig, PreTrainedModel

from support.tiny_models import tiny_config
from vkood.models import (
    BlipVkoodConfig,
    BlipVkoodForImageTextRetrieval,
    BlipVkoodForVisualQuestionAnswering,
    BlipVkoodForVisualReasoning,
    VkoodForImageTextRetrieval,
    VkoodForPreTraining,
    VkoodForVisualQuestionAnswering,
    VkoodForVisualReasoning,
)

WORDS, VOCABULARY = 7, 50


def two_stream_config(**changes: Any) -> Any:
    """A configuration with a transformer for images."""
    image = CLIPVisionConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
        attention_dropout=0.0,
    )
    text = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=600,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return tiny_config(**({"image_config": image, "text_config": text} | changes))


def blip_config(**changes: Any) -> BlipVkoodConfig:
    """A small BLIP."""
    vision = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
        "attention_dropout": 0.0,
        "initializer_range": 0.2,
    }
    text = {
        "vocab_size": VOCABULARY,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 600,
        "bos_token_id": 48,
        "sep_token_id": 3,
        "eos_token_id": 3,
        "pad_token_id": 0,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "label_smoothing": 0.0,
        "initializer_range": 0.2,
    }
    options: dict[str, Any] = {
        "vision_config": vision,
        "text_config": text,
        "fact_dim": 12,
        "queue_size": 16,
        "image_text_hidden_size": 8,
        "merge_from": 1,
        "initializer_range": 0.2,
        "gate": {"joint_dim": 8, "num_components": 2},
    }
    return BlipVkoodConfig(**(options | changes))


def batch(rows: int = 4, facts: int = 3, *, images: int = 1) -> dict[str, Tensor]:
    """Texts of different lengths with images, and facts of different numbers."""
    generator = torch.Generator().manual_seed(7)
    mask = (torch.arange(WORDS) < (WORDS - torch.arange(rows) % 3)[:, None]).long()
    shape = (rows, 3, 32, 32) if images == 1 else (rows, images, 3, 32, 32)
    return {
        "pixel_values": torch.randn(shape, generator=generator),
        "input_ids": torch.randint(5, 47, (rows, WORDS), generator=generator) * mask,
        "attention_mask": mask,
        "fact_features": torch.randn(rows, facts, 12, generator=generator),
        "fact_mask": torch.arange(facts) < (facts - torch.arange(rows) % 2)[:, None],
    }


@dataclass(frozen=True)
class Kind:
    """A class of models.

    Args:
        model: The class.
        config: Makes its configuration.
        labels: Makes the labels of a batch with this number of rows.
        images: Images of an example.
        answer: What of an output has one row for each example.
    """

    model: type[PreTrainedModel]
    config: Callable[..., Any]
    labels: Callable[[int], dict[str, Tensor]]
    images: int = 1
    answer: str = "logits"

    def new(self, **changes: Any) -> Any:
        """A new model, in eval mode."""
        torch.manual_seed(0)
        return self.model(self.config(**changes)).eval()

    def batch(self, rows: int = 4, facts: int = 3) -> dict[str, Tensor]:
        """A batch without labels."""
        return batch(rows, facts, images=self.images)


def _words(rows: int) -> dict[str, Tensor]:
    inputs = batch(rows)
    picked = torch.zeros_like(inputs["input_ids"]).bool()
    picked[:, 2] = True
    return {
        "labels": inputs["input_ids"].masked_fill(~picked, -100),
        "match_labels": torch.arange(rows) % 2,
    }


def _answers(rows: int) -> dict[str, Tensor]:
    first = 10 + torch.arange(rows)
    return {"labels": torch.stack([torch.full_like(first, 48), first, torch.full_like(first, 3)], dim=1)}


KINDS = {
    "two-stream answers": Kind(
        VkoodForVisualQuestionAnswering, two_stream_config, lambda rows: {"labels": torch.arange(rows) % 5}
    ),
    "two-stream reasoning": Kind(
        VkoodForVisualReasoning, two_stream_config, lambda rows: {"labels": torch.arange(rows) % 2}, images=2
    ),
    "two-stream retrieval": Kind(
        VkoodForImageTextRetrieval, two_stream_config, lambda rows: {"match_labels": torch.arange(rows) % 2}
    ),
    "two-stream pre-training": Kind(VkoodForPreTraining, two_stream_config, _words),
    "BLIP answers": Kind(BlipVkoodForVisualQuestionAnswering, blip_config, _answers, answer="text_states"),
    "BLIP reasoning": Kind(
        BlipVkoodForVisualReasoning, blip_config, lambda rows: {"labels": torch.arange(rows) % 2}, images=2
    ),
    "BLIP retrieval": Kind(
        BlipVkoodForImageTextRetrieval,
        blip_config,
        lambda rows: {"image_ids": torch.arange(rows)},
        answer="match_logits",
    ),
}
