"""METER's Swin towers, against a Swin written out here from its paper (Liu et al., ICCV 2021), under METER's names."""

import math

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from support.oracles import FOLDER
from vkood.models.convert import load_checkpoint
from vkood.models.positions import resize_relative

WIDTH, DEPTHS, HEADS, PATCH = 16, (2, 2, 2), (2, 4, 8), 4


def weights(window):
    """A tower's tensors, as METER's files have them."""
    generator = torch.Generator().manual_seed(3)

    def new(*shape):
        return 0.3 * torch.randn(*shape, generator=generator)

    state = {
        "patch_embed.proj.weight": new(WIDTH, 3, PATCH, PATCH),
        "patch_embed.proj.bias": new(WIDTH),
        "patch_embed.norm.weight": 1 + new(WIDTH),
        "patch_embed.norm.bias": new(WIDTH),
    }
    for stage, depth in enumerate(DEPTHS):
        width = WIDTH * 2**stage
        for block in range(depth):
            start = f"layers.{stage}.blocks.{block}."
            for name in ("norm1", "norm2"):
                state |= {f"{start}{name}.weight": 1 + new(width), f"{start}{name}.bias": new(width)}
            for name, (out, into) in {
                "attn.qkv": (3 * width, width),
                "attn.proj": (width, width),
                "mlp.fc1": (4 * width, width),
                "mlp.fc2": (width, 4 * width),
            }.items():
                state |= {
                    f"{start}{name}.weight": new(out, into) / math.sqrt(into),
                    f"{start}{name}.bias": new(out),
                }
            state[f"{start}attn.relative_position_bias_table"] = new((2 * window - 1) ** 2, HEADS[stage])
            state[f"{start}attn.relative_position_index"] = torch.zeros(
                window**2, window**2, dtype=torch.long
            )
            if block % 2:
                state[f"{start}attn_mask"] = torch.zeros(4, window**2, window**2)
        if stage < len(DEPTHS) - 1:
            start = f"layers.{stage}.downsample."
            state |= {f"{start}norm.weight": 1 + new(4 * width), f"{start}norm.bias": new(4 * width)}
            state[f"{start}reduction.weight"] = new(2 * width, 4 * width) / math.sqrt(width)
    last = WIDTH * 2 ** (len(DEPTHS) - 1)
    return state | {"norm.weight": 1 + new(last), "norm.bias": new(last)}


def normed(x, state, name):
    return functional.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])


def linear(x, state, name):
    return functional.linear(x, state[f"{name}.weight"], state.get(f"{name}.bias"))


def attended(x, state, name, heads, window, shift):
    """Each place attends to those of its window; windows are moved by `shift`, around the edges, but not over them."""
    rows, columns = x.shape[1:3]
    qkv = linear(x, state, f"{name}qkv").unflatten(-1, (3, heads, -1))
    table = state[f"{name}relative_position_bias_table"]
    actual = torch.zeros_like(x)
    moved = [(row - shift) % rows for row in range(rows)]  # where a place stands once all are rolled

    def region(place, size):
        return 0 if place < size - window else 1 if place < size - shift else 2

    groups: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    for row in range(rows):
        for column in range(columns):
            r, c = moved[row], (column - shift) % columns
            key = (r // window, c // window)
            if shift:
                key += (region(r, rows), region(c, columns))
            groups.setdefault(key, []).append((row, column))
    for places in groups.values():
        at = tuple(zip(*places, strict=True))
        q, k, v = (qkv[:, list(at[0]), list(at[1]), part] for part in range(3))  # (batch, places, heads, dim)
        inside = [
            ((row - shift) % rows % window, (column - shift) % columns % window) for row, column in places
        ]
        bias = torch.stack(
            [
                torch.stack(
                    [
                        table[(a[0] - b[0] + window - 1) * (2 * window - 1) + a[1] - b[1] + window - 1]
                        for b in inside
                    ]
                )
                for a in inside
            ]
        )  # (places, places, heads)
        logits = torch.einsum("bphd,bqhd->bhpq", q, k) / math.sqrt(q.shape[-1]) + bias.permute(2, 0, 1)
        read = torch.einsum("bhpq,bqhd->bphd", logits.softmax(-1), v).flatten(2)
        actual[:, list(at[0]), list(at[1])] = read
    return linear(actual, state, f"{name}proj")


def swin(pixels, state, window):
    x = functional.conv2d(
        pixels, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=PATCH
    )
    x = normed(x.permute(0, 2, 3, 1), state, "patch_embed.norm")
    for stage, depth in enumerate(DEPTHS):
        for block in range(depth):
            start = f"layers.{stage}.blocks.{block}."
            size = min(window, x.shape[1])
            shift = size // 2 if block % 2 and x.shape[1] > window else 0
            x = x + attended(
                normed(x, state, f"{start}norm1"), state, f"{start}attn.", HEADS[stage], size, shift
            )
            hidden = functional.gelu(linear(normed(x, state, f"{start}norm2"), state, f"{start}mlp.fc1"))
            x = x + linear(hidden, state, f"{start}mlp.fc2")
        if stage < len(DEPTHS) - 1:
            start = f"layers.{stage}.downsample."
            corners = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
            x = linear(normed(torch.cat(corners, -1), state, f"{start}norm"), state, f"{start}reduction")
    return normed(x, state, "norm").flatten(1, 2)


def checkpoint(path, window, image_size):
    """The oracle's model with a Swin for its image tower."""
    content = torch.load(FOLDER / "meter" / "vqa.ckpt", weights_only=True)
    state = {name: part for name, part in content["state_dict"].items() if not name.startswith("vit_model.")}
    tower = weights(window)
    state |= {f"vit_model.{name}": part for name, part in tower.items()}
    state["cross_modal_image_transform.weight"] = torch.randn(
        64, 64, generator=torch.Generator().manual_seed(0)
    )
    content["hyper_parameters"]["config"] |= {"vit": "swin_tiny", "image_size": image_size}
    torch.save(content | {"state_dict": state}, path)
    return tower


@pytest.mark.parametrize(("window", "size"), [(4, 64), (2, 32), (3, 96)])
@torch.no_grad()
def test_towers(tmp_path, window, size):
    """With several windows to a side, shifted ones and one that fills the last stage."""
    tower = checkpoint(tmp_path / "a.ckpt", window, size)
    model, report = load_checkpoint(tmp_path / "a.ckpt", FOLDER / "meter" / "text_config_roberta-tiny.json")
    assert report.image_size == size
    assert not report.of("resized")
    pixels = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    actual = model.vkood.image_tower(pixels)
    assert_close(actual, swin(pixels, tower, window), atol=1e-4, rtol=1e-4)
    assert not model.vkood.image_tower.has_class_token


@torch.no_grad()
def test_another_resolution(tmp_path):
    """Windows grow with the image, and their tables with them."""
    tower = checkpoint(tmp_path / "a.ckpt", 4, 64)
    text_config = FOLDER / "meter" / "text_config_roberta-tiny.json"
    model, report = load_checkpoint(tmp_path / "a.ckpt", text_config, image_size=96)
    assert {key.name.rpartition(".")[2] for key in report.of("resized")} == {"relative_position_bias_table"}
    resized = {
        name: resize_relative(part, 6) if name.endswith("bias_table") else part
        for name, part in tower.items()
    }
    pixels = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    assert_close(model.vkood.image_tower(pixels), swin(pixels, resized, 6), atol=1e-4, rtol=1e-4)
