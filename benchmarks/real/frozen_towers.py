"""Pretrained towers that stay as they are: photographs and texts go through them once, and what comes out is kept.

Legend: B photographs or texts, T image tokens, W text tokens, D features.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet  # pyright: ignore[reportMissingImports] - it has no types
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput
from typing_extensions import override

from vkood.files import complete_file, complete_folder, read_json_object, write_text
from vkood.models.loading import load_encoder, load_tokenizer
from vkood.models.towers import TextTower
from vkood.pipelines.concept_tagger.imagenet import NUM_CLASSES, EfficientNetLite2
from vkood.pipelines.encoding import FACT_ENCODER, sentence_encoder_folder

GRID = (3, 4)
"""Rows and columns of cells, each of which is a token."""
SIDES = (288, 384)
"""Height and width to which photographs are scaled."""
MAX_TEXT_TOKENS = 32

_CHANNELS = 1280
_COLOURS = 6  # the mean and the deviation of red, green and blue
_WAVES = (1, 2)
_PLACE = 4 * len(_WAVES)
_BATCH = 8
_TEXT_BATCH = 64

SKETCH = 2048
_MAX_WORDS = 3
_FACTORS = (1_000_003, 998_244_353)
_MODULUS = 2**31 - 1

_CELLS = "efficientnet_lite2_cells"
_PHRASES = "sentence_phrases"


class PhotoTokensConfig(PreTrainedConfig):
    """The shape of what `PhotoTokens` gives."""

    __no_type_check__ = True

    model_type = _CELLS
    hidden_size: int = _CHANNELS + _COLOURS + _PLACE
    num_channels: int = 3
    image_size: Any = SIDES
    grid: Any = GRID


class PhotoTokens(PreTrainedModel):
    """EfficientNet-Lite2 as an image tower of tokens: one for what the whole shows, and one for each cell of a grid.

    A cell's token is the mean of the network's last feature map there, of unit variance, its colours, and where it
    lies. The whole's is the network's outputs for the thousand classes of ImageNet, of unit variance.
    """

    config_class = PhotoTokensConfig
    main_input_name = "pixel_values"

    def __init__(self, config: PhotoTokensConfig) -> None:
        super().__init__(config)
        self.network: Any = EfficientNet.from_name("efficientnet-lite2")
        self.post_init()

    @override
    def _init_weights(self, module: nn.Module) -> None:
        """Leave new weights as the network's own package draws them."""

    @override
    def forward(self, pixel_values: Tensor) -> BaseModelOutput:
        """Tokens, (B, 1 + cells, D), of (B, 3, height, width) pixels from -1 to 1."""
        rows, columns = self.config.grid
        maps = self.network.extract_features(pixel_values)
        classes = self.network._fc(maps.mean((2, 3)))

        def cells(values: Tensor) -> Tensor:
            return functional.adaptive_avg_pool2d(values, (rows, columns)).flatten(2).mT

        colour = cells(pixel_values)
        deviation = (cells(pixel_values.square()) - colour.square()).clamp_min(0).sqrt()
        tokens = torch.cat(
            [
                functional.layer_norm(cells(maps), (_CHANNELS,)),
                2 * colour,
                4 * deviation,
                _places(rows, columns).to(colour).expand(len(colour), -1, -1),
            ],
            dim=-1,
        )
        whole = functional.layer_norm(classes, (NUM_CLASSES,))
        whole = functional.pad(whole, (0, tokens.shape[-1] - NUM_CLASSES))
        return BaseModelOutput(last_hidden_state=torch.cat([whole[:, None], tokens], dim=1))  # pyright: ignore[reportArgumentType] - transformers names the type of a GPU's tensor


AutoConfig.register(_CELLS, PhotoTokensConfig)
AutoModel.register(PhotoTokensConfig, PhotoTokens)


class SentenceTokensConfig(PreTrainedConfig):
    """The shape of what `SentenceTokens` gives, and the text encoder within."""

    __no_type_check__ = True

    model_type = _PHRASES
    sub_configs = {"encoder_config": AutoConfig}  # noqa: RUF012  # pyright: ignore[reportAssignmentType] - as transformers has it
    encoder_config: Any = None
    vocab_size: int = 30_522
    sketch: int = SKETCH

    def __post_init__(self, **kwargs: Any) -> None:
        """Take the encoder's configuration from a dictionary too, as JSON has it."""
        if isinstance(self.encoder_config, dict):
            self.encoder_config = AutoConfig.for_model(**self.encoder_config)
        super().__post_init__(**kwargs)

    @property
    def hidden_size(self) -> int:
        """The width of a token."""
        return self.encoder_config.hidden_size + self.sketch


class SentenceTokens(PreTrainedModel):
    """A text encoder whose first token is the mean of its states, and which phrases the text has.

    Which phrases those are is a count sketch: each run of one to three tokens adds 1 or -1 to one of `sketch` numbers,
    which a hash chooses. All other tokens have zeros there.
    """

    config_class = SentenceTokensConfig

    def __init__(self, config: SentenceTokensConfig) -> None:
        super().__init__(config)
        self.encoder: Any = AutoModel.from_config(config.encoder_config)
        self.encoder.pooler = None
        self.post_init()

    @override
    def _init_weights(self, module: nn.Module) -> None:
        """Leave new weights as the encoder's own class draws them."""

    @override
    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> BaseModelOutput:
        """Tokens, (B, W, D), of the ids of texts, (B, W), and where there is one, (B, W)."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.to(states.dtype)[..., None]
        mean = (states * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True)
        phrases = states.new_zeros(*states.shape[:2], self.config.sketch)
        phrases[:, 0] = _phrases(input_ids, attention_mask.bool(), self.config.sketch)
        tokens = torch.cat([torch.cat([mean, states[:, 1:]], dim=1), phrases], dim=-1)
        return BaseModelOutput(last_hidden_state=tokens)  # pyright: ignore[reportArgumentType] - as above


AutoConfig.register(_PHRASES, SentenceTokensConfig)
AutoModel.register(SentenceTokensConfig, SentenceTokens)


def _phrases(ids: Tensor, mask: Tensor, size: int) -> Tensor:
    """(B, size) count sketches, whose entries have a mean square of 1/4."""
    sketch = torch.zeros(len(ids), size, device=ids.device)
    runs = torch.zeros_like(ids)
    for words in range(1, min(_MAX_WORDS, ids.shape[1]) + 1):
        starts = ids.shape[1] - words + 1
        runs = (runs[:, :starts] * _FACTORS[0] + ids[:, words - 1 :] + 1) % _MODULUS * _FACTORS[1] % _MODULUS
        signs = torch.where(runs // size % 2 == 0, 1.0, -1.0) * mask[:, words - 1 :]
        sketch.scatter_add_(1, runs % size, signs)
    return functional.normalize(sketch, dim=-1) * math.sqrt(size) / 2


def _places(rows: int, columns: int) -> Tensor:
    """(cells, 8) waves of the place of each cell."""
    axes = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, columns), indexing="ij")
    waves = [f(axis * k * math.pi / 2) for axis in axes for k in _WAVES for f in (torch.sin, torch.cos)]
    return torch.stack(waves).flatten(1).mT


def image_tower_folder(scratch: Path, *, sides: tuple[int, int] = SIDES) -> Path:
    """The folder of a `PhotoTokens` with the weights of the package index, made there if there is none.

    Args:
        scratch: Where it is kept.
        sides: Height and width to which photographs are scaled.
    """
    weights = EfficientNetLite2()
    settings = PhotoTokensConfig(image_size=list(sides))
    folder = (
        scratch
        / f"image-tower-{_digest(weights.fingerprint, settings.to_json_string(), Path(__file__).read_text())}"
    )
    if not folder.is_dir():
        scratch.mkdir(parents=True, exist_ok=True)
        tower = PhotoTokens(settings)
        tower.network.load_state_dict(weights.network.state_dict())
        with complete_folder(folder) as unfinished:
            tower.save_pretrained(unfinished)
    return folder


def text_tower_folder(scratch: Path, sketch: int = SKETCH) -> Path:
    """The folder of a `SentenceTokens` with the weights of the encoder of facts, made there if there is none."""
    source = Path(sentence_encoder_folder(FACT_ENCODER))
    weights = [path.name for path in source.iterdir() if path.suffix in (".safetensors", ".bin")]
    made_of = (
        states_of_files([source / name for name in weights]),
        Path(__file__).read_text(encoding="utf-8"),
        sketch,
    )
    folder = scratch / f"text-tower-{_digest(*made_of)}"
    if not folder.is_dir():
        scratch.mkdir(parents=True, exist_ok=True)
        encoder = load_encoder(source)
        config: Any = encoder.config
        tower = SentenceTokens(
            SentenceTokensConfig(encoder_config=config, vocab_size=config.vocab_size, sketch=sketch)
        )
        tower.encoder.load_state_dict(encoder.state_dict(), strict=False)  # but for the pooler
        with complete_folder(folder) as unfinished:
            tower.save_pretrained(unfinished)
            load_tokenizer(source).save_pretrained(unfinished)
    return folder


@torch.inference_mode()
def photograph_tokens(
    tower: Callable[[Tensor], Tensor], photographs: Sequence[Path], sides: tuple[int, int]
) -> Tensor:
    """(B, T, D) what an image tower makes of photographs that are scaled to these sides."""
    batches = []
    for first in range(0, len(photographs), _BATCH):
        pixels = torch.stack([_pixels(path, sides) for path in photographs[first : first + _BATCH]])
        batches.append(tower(pixels).half())
    return torch.cat(batches)


def _pixels(path: Path, sides: tuple[int, int]) -> Tensor:
    """(3, height, width): a whole photograph, from -1 to 1."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB").resize(sides[::-1], Image.Resampling.BICUBIC)
    return (torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() - 127) / 128


@torch.inference_mode()
def text_tokens(tower: TextTower, folder: Path, texts: Sequence[str]) -> dict[str, Tensor]:
    """What a text tower makes of texts.

    Args:
        tower: The tower.
        folder: Where its tokenizer lies.
        texts: B of them, of which the first 32 tokens count.

    Returns:
        `states` (B, W, D), and `mask` (B, W), where there is a token.
    """
    tokenizer = load_tokenizer(folder)
    states = torch.zeros(len(texts), MAX_TEXT_TOKENS, tower.width, dtype=torch.half)
    mask = torch.zeros(len(texts), MAX_TEXT_TOKENS, dtype=torch.bool)
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    for first in range(0, len(order), _TEXT_BATCH):
        rows = order[first : first + _TEXT_BATCH]
        tokens = tokenizer(
            [texts[row] for row in rows],
            padding=True,
            truncation=True,
            max_length=MAX_TEXT_TOKENS,
            return_tensors="pt",
        )
        width = tokens["input_ids"].shape[1]
        states[rows, :width] = tower(tokens["input_ids"], tokens["attention_mask"]).half()
        mask[rows, :width] = tokens["attention_mask"].bool()
    longest = int(mask.sum(1).max())
    return {"states": states[:, :longest].contiguous(), "mask": mask[:, :longest].contiguous()}


def kept_tensors(
    scratch: Path, name: str, parts: Sequence[object], make: Callable[[], Mapping[str, Tensor]]
) -> dict[str, Tensor]:
    """Tensors from a file, if they were made before of the very parts; else they are made, and kept there.

    Args:
        scratch: The folder of such files.
        name: What they are.
        parts: All that they depend on.
        make: Makes them.
    """
    path = scratch / f"{name}-{_digest(*parts)}.safetensors"
    if not path.is_file():
        tensors = dict(make())
        scratch.mkdir(parents=True, exist_ok=True)
        with complete_file(path) as unfinished:
            save_file(tensors, unfinished)
    return load_file(path)


def kept_lists(scratch: Path, name: str, parts: Sequence[object], make: Callable[[], list[Any]]) -> list[Any]:
    """The same for lists that JSON can hold."""
    path = scratch / f"{name}-{_digest(*parts)}.json"
    if not path.is_file():
        scratch.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps({"lists": make()}))
    return read_json_object(path)["lists"]


def states_of_files(paths: Sequence[Path]) -> list[tuple[str, int, int]]:
    """What changes when a file does."""
    return [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:20]
