"""Every model as one compiled graph: the solve is an operator in it, and no break."""

import pytest
import torch

from every_model import KINDS
from ranks import in_a_new_process

pytestmark = pytest.mark.slow


def whole_graph(kind: str) -> dict[str, float]:
    """How far loss and gradients of a compiled model are from the plain one's, in double precision.

    Compiling raises where a graph would break.
    """
    torch._dynamo.reset()
    model = KINDS[kind].new().train().double()
    given = KINDS[kind].batch() | KINDS[kind].labels(4)
    given = {name: value.double() if value.is_floating_point() else value for name, value in given.items()}
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(1)  # of the false pairs that BLIP draws
    wanted = model(**given).loss
    wanted.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    model.load_state_dict(start)  # moving averages have moved
    torch.manual_seed(1)
    found = torch.compile(model, backend="aot_eager", fullgraph=True)(**given).loss
    found.backward()
    parameters = dict(model.named_parameters())
    apart = [(parameters[name].grad - gradient).abs().max() for name, gradient in gradients.items()]
    largest = max(gradient.abs().max() for gradient in gradients.values())
    return {
        "loss": (found - wanted).abs().item(),
        "gradients": (torch.stack(apart).max() / largest).item(),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_one_graph(kind):
    apart = in_a_new_process(whole_graph, kind)
    assert apart["loss"] < 1e-7
    assert apart["gradients"] < 1e-7


def other_sizes() -> list[float]:
    """A graph for any number of facts and rows, in half precision where it is safe."""
    model = KINDS["two-stream answers"].new()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True, dynamic=True)
    apart = []
    for rows, facts in ((4, 3), (5, 7), (3, 2)):
        given = KINDS["two-stream answers"].batch(rows, facts)
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            apart.append((compiled(**given).fact_gate - model(**given).fact_gate).abs().max().item())
    return apart


def test_a_graph_serves_other_sizes():
    assert max(in_a_new_process(other_sizes)) < 0.02
