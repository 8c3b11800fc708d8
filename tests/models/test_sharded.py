"""Models whose weights are sharded over processes (FSDP), layer by layer."""

import pytest
import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from support.every_model import KINDS
from support.ranks import on_two_ranks
from vkood.train.sharding import WholeCopy


@pytest.mark.parametrize(
    ("kind", "layers"),
    [
        ("two-stream answers", {"CLIPEncoderLayer", "BertLayer", "StreamLayer"}),
        ("two-stream retrieval", {"CLIPEncoderLayer", "BertLayer", "StreamLayer"}),
        ("BLIP answers", {"VisionLayer", "TextLayer"}),
        ("BLIP retrieval", {"VisionLayer", "TextLayer"}),
    ],
)
def test_models_tell_their_layers(kind, layers):
    """By this, devices are given whole layers, and FSDP's `auto_wrap` wraps them."""
    model = KINDS[kind].new()
    assert model._no_split_modules == layers
    assert layers <= {type(module).__name__ for module in model.modules()}


def sharded(rank: int, kind: str) -> dict[str, float]:
    """How far loss and gradients of a sharded model are from the whole one's."""
    model = KINDS[kind].new().train()
    inputs = KINDS[kind].batch() | KINDS[kind].labels(4)
    expected = model(**inputs).loss
    expected.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    begun = [p.detach().clone() for p in model.parameters()]
    model.zero_grad()
    mesh = init_device_mesh("cpu", (2,))
    for module in list(model.modules()):
        if type(module).__name__ in model._no_split_modules:
            fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)
    copy = WholeCopy(KINDS[kind].new().train())
    actual = model(**inputs).loss
    actual.backward()
    parameters = dict(model.named_parameters())
    held = sum(p.to_local().numel() for p in parameters.values()) / sum(
        p.numel() for p in parameters.values()
    )
    apart = [(parameters[n].grad.full_tensor() - gradient).abs().max() for n, gradient in gradients.items()]
    # A step, and then rank 0 alone, or both on different rows, may use the whole copy.
    torch.optim.SGD(model.parameters(), 0.1).step()
    whole = copy.of(model)
    moved = [
        (p - (start - 0.1 * gradients.get(name, torch.zeros(())))).abs().max()
        for (name, p), start in zip(whole.named_parameters(), begun, strict=True)
    ]
    if rank == 0:
        assert whole(**inputs).loss.isfinite()
    return {
        "loss": (actual - expected).abs().item(),
        "gradients": torch.stack(apart).max().item(),
        "held": held,
        "moved": torch.stack(moved).max().item(),
    }


@pytest.mark.parametrize("kind", ["two-stream answers", "two-stream retrieval", "BLIP answers"])
def test_sharded_weights_give_the_same(kind):
    for apart in on_two_ranks(sharded, kind):
        assert apart["loss"] < 1e-5
        assert apart["gradients"] < 1e-3
        assert 0.4 < apart["held"] < 0.6
        assert apart["moved"] < 1e-4
