"""Gradients through a fixed point: against finite differences and each rule's own formula."""

import pytest
import torch
from torch import Tensor

from support.problems import CONTRACTIONS, Problem, affine, coupled, linear, parts, root, slow
from vkood.solve import (
    Anderson,
    ConvergenceWarning,
    Implicit,
    LastIterate,
    Neumann,
    Picard,
    Squarem,
    Status,
    Unrolled,
    fixed_point,
)

EXACT = {"tolerance": 1e-13, "max_steps": 4000}
SOLVERS = [Picard(**EXACT), Picard(damping=0.3, **EXACT), Anderson(**EXACT), Squarem(**EXACT)]
each_solver = pytest.mark.parametrize("solver", SOLVERS, ids=["picard", "damped", "anderson", "squarem"])
each_contraction = pytest.mark.parametrize("problem", CONTRACTIONS, ids=lambda problem: problem.name)
RULES = [LastIterate(), Neumann(terms=3), Implicit(tolerance=1e-12, max_steps=500), Unrolled()]
each_rule = pytest.mark.parametrize("rule", RULES, ids=["last iterate", "neumann", "implicit", "unrolled"])


def gradients(problem: Problem, solver, rule) -> tuple[Tensor, ...]:
    """Of a random functional of the fixed point with respect to all operands."""
    operands = [operand.clone().requires_grad_() for operand in problem.operands]
    solution = fixed_point(problem.map, problem.start, operands=operands, solver=solver, gradient=rule)
    return torch.autograd.grad(parts(solution.value), operands, cotangents(problem))


def cotangents(problem: Problem) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(11)
    return tuple(
        torch.randn(part.shape, generator=generator, dtype=part.dtype) for part in parts(problem.fixed)
    )


def by_formula(problem: Problem, correct) -> tuple[Tensor, ...]:
    """The same from the Jacobian at the known fixed point: dF/dC^T u with u = correct(J^T, g), row by row."""
    shapes = [part.shape[1:] for part in parts(problem.fixed)]
    flat = torch.cat([part.reshape(4, -1) for part in parts(problem.fixed)], 1)

    def image(row: Tensor, *operands: Tensor) -> Tensor:
        pieces = row.split([shape.numel() for shape in shapes])
        value = tuple(piece.reshape(1, *shape) for piece, shape in zip(pieces, shapes, strict=True))
        result = problem.map(value if isinstance(problem.fixed, tuple) else value[0], *operands)
        return torch.cat([part.reshape(-1) for part in parts(result)])

    per_row = []
    for row in range(4):
        operands = tuple(operand[row : row + 1] for operand in problem.operands)
        jacobians = torch.autograd.functional.jacobian(image, (flat[row], *operands))
        gradient = torch.cat([part[row].reshape(-1) for part in cotangents(problem)])
        corrected = correct(jacobians[0].mT, gradient)
        per_row.append([torch.tensordot(corrected, jacobian, 1)[0] for jacobian in jacobians[1:]])
    return tuple(torch.stack(per_operand) for per_operand in zip(*per_row, strict=True))


def inverse(transposed: Tensor, gradient: Tensor) -> Tensor:
    return torch.linalg.solve(torch.eye(len(gradient), dtype=gradient.dtype) - transposed, gradient)


def agree(left, right, *, rtol=1e-6, atol=1e-8):
    for first, second in zip(left, right, strict=True):
        torch.testing.assert_close(first, second, rtol=rtol, atol=atol * max(1.0, float(second.abs().max())))


@each_solver
@each_contraction
def test_last_iterate_follows_its_formula(solver, problem):
    agree(
        gradients(problem, solver, LastIterate()), by_formula(problem, lambda transposed, gradient: gradient)
    )


@each_solver
@each_contraction
def test_neumann_follows_its_formula(solver, problem):
    def series(transposed, gradient):
        return gradient + transposed @ gradient + transposed @ (transposed @ gradient)

    agree(gradients(problem, solver, Neumann(terms=3)), by_formula(problem, series))


@each_solver
@each_contraction
def test_implicit_follows_the_implicit_function_theorem(solver, problem):
    agree(gradients(problem, solver, Implicit(tolerance=1e-13, max_steps=500)), by_formula(problem, inverse))


@each_solver
@pytest.mark.parametrize(
    "problem", [each for each in CONTRACTIONS if each.name != "at rest"], ids=lambda problem: problem.name
)
def test_unrolled_converges_to_the_implicit_gradient(solver, problem):
    # In the problems that leave Anderson's system singular its weights, hence their derivatives, are loose.
    loose = isinstance(solver, Anderson) and problem.name in ("rank one", "zero")
    agree(gradients(problem, solver, Unrolled()), by_formula(problem, inverse), atol=3e-2 if loose else 1e-8)


@each_solver
def test_unrolled_at_rest_is_one_application(solver):
    """The loop that takes no step has no gradient; the application that follows it has."""
    problem = next(problem for problem in CONTRACTIONS if problem.name == "at rest")
    agree(gradients(problem, solver, Unrolled()), by_formula(problem, lambda transposed, gradient: gradient))


@pytest.mark.parametrize(
    "rule", [Implicit(tolerance=1e-13, max_steps=500), Unrolled()], ids=["implicit", "unrolled"]
)
@pytest.mark.parametrize(
    "problem", [each.rows([1, 3]) for each in (linear(), root(), coupled())], ids=lambda problem: problem.name
)
def test_exact_rules_agree_with_finite_differences(problem, rule):
    """Of all rows with respect to all operands: no row may reach another's gradient."""
    operands = tuple(operand.clone().requires_grad_() for operand in problem.operands)

    def value(*operands):
        return fixed_point(
            problem.map, problem.start, operands=operands, solver=Anderson(**EXACT), gradient=rule
        ).value

    if problem.name == "root":
        operands = (
            operands[0].detach().clamp(0.5, 10).requires_grad_(),
        )  # finite differences need even scales
    assert torch.autograd.gradcheck(value, operands, atol=1e-5, rtol=1e-4, nondet_tol=1e-9)


def test_neumann_of_one_term_is_the_last_iterate():
    agree(
        gradients(linear(), SOLVERS[0], Neumann(terms=1)),
        gradients(linear(), SOLVERS[0], LastIterate()),
        rtol=0,
        atol=0,
    )


def test_neumann_tends_to_implicit_at_the_rate_of_the_contraction():
    exact = torch.cat([grad.flatten(1) for grad in by_formula(linear(), inverse)], 1)
    errors = []
    for terms in (5, 10, 20):
        approximate = torch.cat(
            [grad.flatten(1) for grad in gradients(linear(), SOLVERS[0], Neumann(terms=terms))], 1
        )
        errors.append((approximate - exact).norm(dim=1) / exact.norm(dim=1))
    rate = torch.tensor([0.3, 0.5, 0.7, 0.8], dtype=torch.float64)  # the norms of the four rows
    for terms, error in zip((5, 10, 20), errors, strict=True):
        assert (error <= 5 * rate**terms).all()


def test_last_iterate_is_biased_within_the_bound_of_the_contraction():
    """|u - g| <= |J| |u|: the slower the map contracts, the more the rule leaves out."""
    problem = linear()
    shift = torch.zeros(4, 5, dtype=torch.float64, requires_grad=True)

    def with_respect_to_shift(rule):
        solution = fixed_point(
            lambda z, a, b, extra: affine(z, a, b) + extra,
            problem.start,
            operands=[*problem.operands, shift],
            solver=SOLVERS[2],
            gradient=rule,
        )
        return torch.autograd.grad((cotangents(problem)[0] * solution.value).sum(), shift)[0]

    last, exact = with_respect_to_shift(LastIterate()), with_respect_to_shift(Implicit(tolerance=1e-13))
    gap = (last - exact).norm(dim=1)
    rate = torch.tensor([0.3, 0.5, 0.7, 0.8], dtype=torch.float64)
    assert (gap <= rate * exact.norm(dim=1)).all()
    assert (gap > 0.05 * exact.norm(dim=1)).all()


@each_rule
@each_solver
def test_gradients_reach_what_the_map_captures(rule, solver):
    problem, weight = linear(), torch.full((), 0.5, dtype=torch.float64, requires_grad=True)

    def loss(weight, rule):
        solution = fixed_point(
            lambda z, a, b: weight * affine(z, a, b),
            problem.start,
            operands=problem.operands,
            solver=solver,
            gradient=rule,
        )
        return solution.value.square().sum()

    gradient = torch.autograd.grad(loss(weight, rule), weight)[0]
    assert gradient != 0
    if isinstance(rule, (Implicit, Unrolled)):
        step = 1e-6
        difference = (loss(weight + step, LastIterate()) - loss(weight - step, LastIterate())) / (2 * step)
        torch.testing.assert_close(gradient, difference, rtol=1e-6, atol=0)


@each_rule
@each_solver
def test_value_is_the_best_iterate_whatever_the_rule(rule, solver):
    problem = coupled()
    operands = tuple(operand.clone().requires_grad_() for operand in problem.operands)
    solution = fixed_point(problem.map, problem.start, operands=operands, solver=solver, gradient=rule)
    with torch.no_grad():
        plain = fixed_point(problem.map, problem.start, operands=operands, solver=solver, gradient=rule)
    for part, same in zip(solution.value, plain.value, strict=True):
        assert part.requires_grad and not same.requires_grad
        assert torch.equal(part, same)
    assert not solution.residual.requires_grad and not solution.trace.requires_grad


@each_rule
def test_start_gets_a_gradient_from_unrolling_alone(rule):
    problem = linear()
    start = problem.start.clone().requires_grad_()
    solution = fixed_point(
        lambda z: affine(z, *problem.operands) + 0 * start.sum(),
        start,
        solver=Picard(max_steps=3),
        gradient=rule,
    )
    gradient = torch.autograd.grad(solution.value.sum(), start)[0]
    assert bool((gradient != 0).any()) == isinstance(rule, Unrolled)


@each_rule
@each_solver
def test_a_nan_row_leaves_the_others_gradients_and_shared_weights_alone(rule, solver):
    problem = linear()

    def run(matrix, shift):
        weight = torch.ones((), dtype=torch.float64, requires_grad=True)
        matrix, shift = matrix.clone().requires_grad_(), shift.clone().requires_grad_()
        solution = fixed_point(
            lambda z, a, b: weight * affine(z, a, b),
            torch.zeros_like(shift),
            operands=[matrix, shift],
            solver=solver,
            gradient=rule,
        )
        finite = solution.status != Status.NOT_FINITE
        solution.value[finite].square().sum().backward()
        return solution, [tensor.grad for tensor in (weight, matrix, shift)]

    matrix, shift = problem.operands
    bad = torch.full_like(shift[:1], torch.nan)
    _, alone = run(matrix, shift)
    solution, grads = run(
        torch.cat([matrix[:2], matrix[:1], matrix[2:]]), torch.cat([shift[:2], bad, shift[2:]])
    )
    assert solution.status.tolist() == [0, 0, Status.NOT_FINITE, 0, 0]
    torch.testing.assert_close(grads[0], alone[0], rtol=1e-9, atol=0)
    for actual, expected in zip(grads[1:], alone[1:], strict=True):
        torch.testing.assert_close(actual[[0, 1, 3, 4]], expected, rtol=1e-7, atol=1e-9)
        assert torch.equal(actual[2], torch.zeros_like(actual[2]))


@pytest.mark.parametrize("rule", RULES[:3], ids=["last iterate", "neumann", "implicit"])
def test_rows_that_all_fail_have_no_gradient(rule):
    weight = torch.ones((), requires_grad=True)
    solution = fixed_point(
        lambda z, bad: weight * z + bad,
        torch.zeros(2, 3),
        operands=[torch.full((2, 1), torch.nan)],
        gradient=rule,
    )
    assert solution.status.tolist() == [Status.NOT_FINITE] * 2
    assert not solution.value.requires_grad


@each_rule
def test_maps_that_ignore_their_value_or_every_parameter(rule):
    """Nothing to solve, and nothing to differentiate: neither is an error."""
    target = torch.tensor([[2.0], [3.0]], requires_grad=True)
    solution = fixed_point(lambda z, goal: goal, torch.zeros(2, 1), operands=[target], gradient=rule)
    assert torch.autograd.grad(solution.value.sum(), target)[0].tolist() == [[1.0], [1.0]]
    solution = fixed_point(lambda z: torch.full_like(z, 2.0), torch.zeros(2, 1), gradient=rule)
    assert solution.value.tolist() == [[2.0], [2.0]]
    assert not solution.value.requires_grad


def test_implicit_says_when_its_linear_system_is_not_solved():
    problem = slow()
    with pytest.warns(
        ConvergenceWarning, match=r"4 of 4 rows missed the tolerance 1e-12; the largest relative residual"
    ):
        gradients(problem, SOLVERS[2], Implicit(tolerance=1e-12, max_steps=2))


def test_implicit_says_nothing_of_rows_without_gradient():
    """Here J^T v does not converge in the budget; but only row 0 needs it."""
    problem = slow()
    operands = [operand.clone().requires_grad_() for operand in problem.operands]
    rule = Implicit(tolerance=1e-12, max_steps=2)
    solution = fixed_point(problem.map, problem.start, operands=operands, solver=SOLVERS[2], gradient=rule)
    with pytest.warns(ConvergenceWarning, match="1 of 4 rows"):
        solution.value[0].sum().backward()


def test_backward_twice_through_one_solution():
    problem = linear()
    operands = [operand.clone().requires_grad_() for operand in problem.operands]
    solution = fixed_point(problem.map, problem.start, operands=operands, gradient=Implicit())
    first = torch.autograd.grad(solution.value.sum(), operands, retain_graph=True)
    second = torch.autograd.grad(solution.value.sum(), operands)
    agree(first, second, rtol=0, atol=0)


def test_errors_name_the_option():
    for call, words in (
        (lambda: Neumann(terms=0), "`terms`"),
        (lambda: Implicit(tolerance=-1.0), "`tolerance`"),
        (lambda: Implicit(max_steps=0), "`max_steps`"),
        (lambda: Implicit(history=0), "`history`"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
