"""Every model as one compiled graph: the solve is an operator in it, and no break."""

import pytest
import torch

from support.every_model import KINDS
from support.ranks import in_a_new_process

pytestmark = pytest.mark.slow


def whole_graphs(family: str) -> dict[str, dict[str, float]]:
    """The same for every model of a family, in one process, since starting one takes longer."""
    return {kind: whole_graph(kind) for kind in KINDS if kind.startswith(family)}


def whole_graph(kind: str) -> dict[str, float]:
    """How far loss and gradients of a compiled model are from the plain one's, in double precision.

    Compiling raises where a graph would break.
    """
    torch._dynamo.reset()
    model = KINDS[kind].new().train().double()
    inputs = KINDS[kind].batch() | KINDS[kind].labels(4)
    inputs = {name: value.double() if value.is_floating_point() else value for name, value in inputs.items()}
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(1)  # of the false pairs that BLIP draws
    expected = model(**inputs).loss
    expected.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    model.load_state_dict(start)  # moving averages have moved
    torch.manual_seed(1)
    actual = torch.compile(model, backend="aot_eager", fullgraph=True)(**inputs).loss
    actual.backward()
    parameters = dict(model.named_parameters())
    apart = [(parameters[name].grad - gradient).abs().max() for name, gradient in gradients.items()]
    largest = max(gradient.abs().max() for gradient in gradients.values())
    return {
        "loss": (actual - expected).abs().item(),
        "gradients": (torch.stack(apart).max() / largest).item(),
    }


@pytest.mark.parametrize(("family", "number"), [("two-stream", 4), ("BLIP", 3)])
def test_a_model_is_one_graph(family, number):
    actual = in_a_new_process(whole_graphs, family)
    assert len(actual) == number
    for kind, apart in actual.items():
        assert apart["loss"] < 1e-7, kind
        assert apart["gradients"] < 1e-7, kind
