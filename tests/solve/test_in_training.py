"""Fixed points inside a training: flat memory, autocast, compiled modules and several ranks."""

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from support.problems import linear
from support.ranks import on_two_ranks
from vkood.solve import (
    Anderson,
    Gradient,
    Implicit,
    LastIterate,
    Neumann,
    Picard,
    Squarem,
    Unrolled,
    fixed_point,
)

RULES = [LastIterate(), Neumann(terms=3), Implicit(tolerance=1e-6), Unrolled()]
each_rule = pytest.mark.parametrize("rule", RULES, ids=["last iterate", "neumann", "implicit", "unrolled"])
each_solver = pytest.mark.parametrize("solver", [Picard, Anderson, Squarem])


class Equilibrium(nn.Module):
    """A small network with a fixed point in its midst."""

    def __init__(self, solver=None, gradient: Gradient | None = None) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.before, self.inner, self.after = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 2)
        for parameter in self.parameters():
            parameter.data = 0.25 * torch.randn(parameter.shape, generator=generator)
        self.solver, self.gradient = solver or Anderson(), gradient or LastIterate()
        self.seen = []

    def forward(self, features):
        inputs = self.before(features)
        solution = fixed_point(
            self.map, torch.zeros_like(inputs), operands=[inputs], solver=self.solver, gradient=self.gradient
        )
        return self.after(solution.value)

    def map(self, state, inputs):
        image = self.inner(state)
        self.seen.append((state.dtype, inputs.dtype, image.dtype))
        return torch.tanh(image + inputs)


def features(rows: int = 6):
    return torch.randn(rows, 6, generator=torch.Generator().manual_seed(5))


# -- memory ----------------------------------------------------------------------------------------


def saved_bytes(rule, solver) -> tuple[int, int]:
    """Bytes that a forward pass keeps for the backward pass, and the steps that it took."""
    problem, kept = linear(), []
    operands = [operand.clone().requires_grad_() for operand in problem.operands]

    def pack(tensor):
        kept.append(tensor.numel() * tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        solution = fixed_point(problem.map, problem.start, operands=operands, solver=solver, gradient=rule)
    return sum(kept), int(solution.steps.max())


@each_rule
@each_solver
def test_memory_does_not_grow_with_the_steps(rule, solver):
    few, _ = saved_bytes(rule, solver(tolerance=0.0, max_steps=5))
    many, steps = saved_bytes(rule, solver(tolerance=0.0, max_steps=200))
    assert steps > 25  # some reach a residual of exactly 0
    if isinstance(rule, Unrolled):
        assert many > 4 * few > 0
    else:
        assert many == few > 0


@pytest.mark.parametrize("rule", RULES[1:3], ids=["neumann", "implicit"])
def test_memory_of_the_backward_pass_does_not_grow_with_its_steps(rule):
    """The correction in the backward pass keeps nothing either."""
    problem, kept = linear(), []
    operands = [operand.clone().requires_grad_() for operand in problem.operands]
    solution = fixed_point(problem.map, problem.start, operands=operands, gradient=rule)
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(1) or tensor, lambda tensor: tensor
    ):
        solution.value.sum().backward()
    assert not kept


# -- mixed precision -------------------------------------------------------------------------------


@each_rule
@each_solver
def test_under_autocast_the_solve_is_in_single_precision(rule, solver):
    net = Equilibrium(solver(tolerance=1e-6, max_steps=300), rule)
    plain = net(features())
    net.seen.clear()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = net(features())
        output.float().square().mean().backward()  # under autocast as well, as people do
    assert set(net.seen) == {(torch.float32, torch.float32, torch.float32)}
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(output.float(), plain, rtol=3e-2, atol=3e-2)
    mixed = [parameter.grad.clone() for parameter in net.parameters()]
    net.zero_grad()
    net(features()).square().mean().backward()
    for got, parameter in zip(mixed, net.parameters(), strict=True):
        assert got.dtype == torch.float32
        torch.testing.assert_close(
            got, parameter.grad, rtol=0.1, atol=0.03 * float(parameter.grad.abs().max())
        )


def test_half_precision_starts_and_operands_are_widened():
    start, operand = (
        torch.zeros(3, 2, dtype=torch.bfloat16),
        torch.ones(3, 2, dtype=torch.float16, requires_grad=True),
    )
    solution = fixed_point(lambda z, operand: 0.5 * z + operand, start, operands=[operand])
    assert solution.value.dtype == torch.float32
    torch.testing.assert_close(solution.value, torch.full((3, 2), 2.0), rtol=1e-4, atol=0)
    solution.value.sum().backward()
    assert operand.grad.dtype == torch.float16


# -- compiled modules ------------------------------------------------------------------------------

quietly = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # Dynamo looks at it itself


@quietly
@each_rule
def test_a_compiled_module_breaks_its_graph_at_the_solve_alone(rule):
    torch.compiler.reset()
    explained = torch._dynamo.explain(Equilibrium(gradient=rule))(features())
    assert explained.graph_count == 2
    assert explained.graph_break_count == 1
    assert "fixed_point" in explained.break_reasons[0].reason


@quietly
@each_rule
def test_a_compiled_module_computes_the_same(rule):
    torch.compiler.reset()
    net = Equilibrium(gradient=rule)
    compiled = torch.compile(net, backend="eager")
    for rows in (6, 3):  # the second time with another number of rows
        plain = net(features(rows))
        expected = torch.autograd.grad(plain.square().sum(), list(net.parameters()))
        output = compiled(features(rows))
        torch.testing.assert_close(output, plain, rtol=1e-5, atol=1e-6)
        for actual, gradient in zip(
            torch.autograd.grad(output.square().sum(), list(net.parameters())), expected, strict=True
        ):
            torch.testing.assert_close(actual, gradient, rtol=1e-5, atol=1e-6)


# -- several ranks ---------------------------------------------------------------------------------


def gradients_of_a_rank(rank: int):
    gradients = []
    for rule in RULES:
        net = DistributedDataParallel(Equilibrium(Anderson(tolerance=1e-6), rule))
        net(features()[3 * rank : 3 * rank + 3]).square().mean().backward()
        gradients.append([parameter.grad for parameter in net.parameters()])
    return gradients


def test_two_ranks_average_the_gradients_of_the_whole_batch():
    ranks = on_two_ranks(gradients_of_a_rank)
    for index, rule in enumerate(RULES):
        net = Equilibrium(Anderson(tolerance=1e-6), rule)
        net(features()).square().mean().backward()
        for parameter, first, second in zip(net.parameters(), ranks[0][index], ranks[1][index], strict=True):
            assert torch.equal(first, second)
            torch.testing.assert_close(first, parameter.grad, rtol=1e-4, atol=1e-6)
