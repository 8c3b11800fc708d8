"""The gates of all facts that a model is given, summed up."""

import torch
from torch import nn

from vkood.gating import OutlierLayer
from vkood.models.gate_watch import GateWatch


class Core(nn.Module):
    """A model's part with the gate, or without one."""

    def __init__(self, layer):
        super().__init__()
        self.outlier_layer = layer


def test_facts_are_counted_and_padding_is_not():
    torch.manual_seed(0)
    core = Core(OutlierLayer(4, 4))
    mask = torch.tensor([[True, True, False], [True, False, False]])
    gates = []
    with GateWatch(core) as watch:
        for _ in range(2):
            out = core.outlier_layer(torch.randn(2, 3, 4), context=torch.randn(2, 5, 4), candidate_mask=mask)
            gates.append(out.gate[mask])
    core.outlier_layer(torch.randn(2, 3, 4), context=torch.randn(2, 5, 4))  # is watched no more
    gates = torch.cat(gates)
    torch.testing.assert_close(
        watch.summary(),
        {
            "facts": 6,
            "mean gate": gates.mean().item(),
            "share of gates above 0.5": (gates > 0.5).float().mean().item(),
        },
    )


def test_without_gates():
    with GateWatch(Core(None)) as watch:
        pass
    assert watch.summary() == {}
