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
from vkood.models.loading import load_tokenizer
from vkood.models.towers import TextTower
from vkood.pipelines.concept_tagger.imagenet import NUM_CLASSES, EfficientNetLite2

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

Name = "efficientnet_lite2_cells"


class PhotoTokensConfig(PreTrainedConfig):
    """The shape of what `PhotoTokens` gives."""

    __no_type_check__ = True

    model_type = Name
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


AutoConfig.register(Name, PhotoTokensConfig)
AutoModel.register(PhotoTokensConfig, PhotoTokens)


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
