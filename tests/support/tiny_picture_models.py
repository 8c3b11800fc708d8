"""Small random models of `transformers` that classify, compare and describe pictures, saved to folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    BlipConfig,
    BlipForConditionalGeneration,
    CLIPConfig,
    CLIPModel,
    SiglipConfig,
    SiglipModel,
    ViTConfig,
    ViTForImageClassification,
)

from support.tiny_pictures import image_processor
from support.tiny_vqa import tiny_tokenizer

_SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
_VISION = _SMALL | {"image_size": 32, "patch_size": 16}


def save_classifier(folder: Path, labels: Sequence[str], **options: Any) -> Path:
    """A random ViT with these labels."""
    torch.manual_seed(0)
    config = ViTConfig(**_VISION, id2label=dict(enumerate(labels)), initializer_range=0.3, **options)
    ViTForImageClassification(config).save_pretrained(folder)
    image_processor().save_pretrained(folder)
    return folder


def save_two_towers(folder: Path, kind: str) -> Path:
    """A random CLIP or SigLIP."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    text = _SMALL | {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 32,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
    }
    if kind == "clip":
        model: Any = CLIPModel(CLIPConfig(text_config=text, vision_config=_VISION, projection_dim=8))
    else:
        model = SiglipModel(SiglipConfig(text_config=text, vision_config=_VISION))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    image_processor().save_pretrained(folder)
    return folder


def save_captioner(folder: Path) -> Path:
    """A random BLIP."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    text = _SMALL | {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 64,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.cls_token_id,
        "sep_token_id": tokenizer.sep_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "encoder_hidden_size": 16,
        "initializer_range": 0.5,
    }
    model = BlipForConditionalGeneration(
        BlipConfig(text_config=text, vision_config=_VISION, image_text_hidden_size=8)
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    image_processor().save_pretrained(folder)
    return folder
