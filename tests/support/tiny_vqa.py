"""A model for easy-VQA small enough for tests, its tokenizer, and a stand-in for the encoder of facts."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import (
    BertConfig,
    BertTokenizer,
    CLIPImageProcessorPil,
    PreTrainedTokenizerBase,
    ResNetConfig,
)

from vkood.data import joint_answers
from vkood.models import VkoodConfig, VkoodForVisualQuestionAnswering
from vkood.pipelines import VkoodProcessor

FACT_DIM = 384


def tiny_tokenizer() -> PreTrainedTokenizerBase:
    """Letters are tokens."""
    letters = [*"abcdefghijklmnopqrstuvwxyz'?."]
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    return BertTokenizer(vocab={token: index for index, token in enumerate(vocab)})


def tiny_config(answers: Sequence[str] | None = None, **changes: object) -> VkoodConfig:
    """A configuration with the answers of both jobs; `changes` go to `VkoodConfig`."""
    answers = joint_answers() if answers is None else answers
    options: dict[str, object] = {
        "image_config": ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"
        ),
        "text_config": BertConfig(
            vocab_size=len(tiny_tokenizer()),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=128,
        ),
        "fact_dim": FACT_DIM,
        "gate": {"joint_dim": 8},
        "hidden_size": 16,
        "num_attention_heads": 2,
        "num_fusion_layers": 1,
        "dropout": 0.0,
        "id2label": dict(enumerate(answers)),
        "label2id": {answer: index for index, answer in enumerate(answers)},
    }
    return VkoodConfig(**(options | changes))


def save_tiny(folder: Path, answers: Sequence[str] | None = None, **changes: object) -> Path:
    """Save a tiny model with random weights, and its processor, as the demo does."""
    VkoodForVisualQuestionAnswering(tiny_config(answers, **changes)).save_pretrained(folder)
    images = CLIPImageProcessorPil(size={"height": 64, "width": 64}, do_center_crop=False)
    VkoodProcessor(images, tiny_tokenizer()).save_pretrained(folder)
    return folder


class HashedFacts:
    """Stands in for the encoder of facts: a sentence's vector depends on its text alone."""

    width, fingerprint = FACT_DIM, "hashed sentences"

    def __init__(self, on_sentences: Callable[[int], None] | None = None) -> None:
        self._on_sentences = on_sentences
        self.encoded: list[str] = []

    def __call__(self, sentences: Sequence[str]) -> Tensor:
        self.encoded += sentences
        if self._on_sentences is not None:
            self._on_sentences(len(sentences))
        return torch.stack([_hashed(sentence) for sentence in sentences])


def _hashed(sentence: str) -> Tensor:
    seed = int.from_bytes(hashlib.sha256(sentence.encode()).digest()[:4], "big")
    vector = torch.randn(FACT_DIM, generator=torch.Generator().manual_seed(seed))
    return vector / vector.norm()
