"""The towers that the demo's arms start from: of pictures, which knows colours and shapes; of texts, which is new."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from transformers import (
    BertConfig,
    BertModel,
    CLIPImageProcessorPil,
    ResNetConfig,
    ResNetForImageClassification,
    get_linear_schedule_with_warmup,
)

from vkood.data import COLOURS, SHAPES, load_easy_vqa
from vkood.data.easy_vqa_knowledge import COLOUR_QUESTIONS, SHAPE_QUESTIONS
from vkood.models.loading import load_tokenizer
from vkood.pipelines.encoding import FACT_ENCODER, sentence_encoder_folder
from vkood.recipes.easy_vqa import SMALL_FUSION, SMALL_RESNET
from vkood.train.parameter_groups import parameter_groups

_BATCH_SIZE, _LEARNING_RATE, _WARMUP = 32, 3e-3, 0.08


def new_image_tower(seed: int) -> ResNetForImageClassification:
    """An untrained image tower with a head for colour and shape."""
    torch.manual_seed(seed)
    labels = [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES]
    return ResNetForImageClassification(ResNetConfig(**SMALL_RESNET, id2label=dict(enumerate(labels))))


def pretrain_image_tower(folder: Path, *, seed: int, steps: int, on_step: Callable[[int], None]) -> None:
    """Train an image tower to name colour and shape of easy-VQA's training pictures, and save it.

    Args:
        folder: Where it is saved, with the image processor that prepares pictures as they were here.
        seed: Random seed of weights and order.
        steps: Optimiser steps; the rate rises linearly to its peak and falls linearly to 0.
        on_step: Called with the number of steps done.
    """
    tower: Any = new_image_tower(seed).train()
    tower.to(memory_format=torch.channels_last)  # convolutions are faster so on CPUs
    data = load_easy_vqa("train")
    pictures = data.described
    labels = torch.tensor([_label(data.colours[row], data.shapes[row]) for row in pictures.tolist()])
    groups = parameter_groups(tower, learning_rate=_LEARNING_RATE, weight_decay=0.01)
    optimizer = torch.optim.AdamW(groups, fused=True)
    schedule = get_linear_schedule_with_warmup(optimizer, round(_WARMUP * steps), steps)
    generator = torch.Generator().manual_seed(seed)
    order = torch.empty(0, dtype=torch.long)
    for step in range(1, steps + 1):
        if len(order) < _BATCH_SIZE:
            order = torch.randperm(len(pictures), generator=generator)
        batch, order = order[:_BATCH_SIZE], order[_BATCH_SIZE:]
        pixels = normalised(data.images[pictures[batch]])
        optimizer.zero_grad()
        tower(pixel_values=pixels, labels=labels[batch]).loss.backward()
        torch.nn.utils.clip_grad_norm_(tower.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        on_step(step)
    tower.resnet.save_pretrained(folder)
    image_processor().save_pretrained(folder)


def image_processor() -> CLIPImageProcessorPil:
    """From pictures to 64 x 64 pixels from -1 to 1."""
    size = {"height": 64, "width": 64}
    return CLIPImageProcessorPil(size=size, do_center_crop=False, image_mean=[0.5] * 3, image_std=[0.5] * 3)


def normalised(images: UInt8[Tensor, "*batch 3 64 64"]) -> Float[Tensor, "*batch 3 64 64"]:
    """What `image_processor` makes of pictures of its size, faster.

    Example:
        >>> normalised(torch.tensor([0, 255], dtype=torch.uint8).repeat(3, 64, 32))[0, 0, :2]
        tensor([-1.,  1.])
    """
    return images.float().div_(127.5).sub_(1.0)


def save_text_tower(folder: Path, *, seed: int) -> None:
    """Save a text tower at initialisation, with a tokenizer whose small vocabulary is learnt from the questions.

    Args:
        folder: Where they are saved.
        seed: Random seed of the weights.
    """
    pretrained: Any = load_tokenizer(sentence_encoder_folder(FACT_ENCODER))
    questions = sorted({*load_easy_vqa("train").questions, *COLOUR_QUESTIONS, *SHAPE_QUESTIONS})
    tokenizer = pretrained.train_new_from_iterator(questions, vocab_size=400)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    BertModel(text_config(tokenizer)).save_pretrained(folder)


def text_config(tokenizer: Any) -> BertConfig:
    """A single layer as wide as the fusion."""
    width = SMALL_FUSION["hidden_size"]
    return BertConfig(
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        hidden_size=width,
        num_hidden_layers=1,
        num_attention_heads=SMALL_FUSION["num_attention_heads"],
        intermediate_size=2 * width,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=SMALL_FUSION["initializer_range"],
    )


def _label(colour: str | None, shape: str | None) -> int:
    assert colour is not None
    assert shape is not None
    return COLOURS.index(colour) * len(SHAPES) + SHAPES.index(shape)
