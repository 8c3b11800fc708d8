"""Small random towers of image and text, saved as pretrained ones are."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import BertConfig, BertModel, BertTokenizer, CLIPVisionConfig, CLIPVisionModel

WORDS = ("what", "color", "is", "made", "of", "umbrella", "?", "a", "red", "blue")


def save_towers(folder: Path) -> tuple[Path, Path]:
    """Save an image tower for pictures of 16 pixels and a text tower, and return their folders."""
    torch.manual_seed(0)
    small = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "initializer_range": 0.5,
    }
    CLIPVisionModel(CLIPVisionConfig(**small, image_size=16, patch_size=8)).save_pretrained(folder / "image")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    tokenizer = BertTokenizer(vocab={token: number for number, token in enumerate(words)})
    BertModel(BertConfig(**small, vocab_size=len(words))).save_pretrained(folder / "text")
    tokenizer.save_pretrained(folder / "text")
    return folder / "image", folder / "text"
