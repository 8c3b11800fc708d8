"""Every solver on maps with known fixed points, and what it says where it fails."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from support.problems import CONTRACTIONS, Problem, linear, parts, rotation, slow, tripling
from vkood.solve import Anderson, Picard, SolveError, Solver, Squarem, Status, fixed_point

SOLVERS = {
    "picard": lambda **budget: Picard(**budget),
    "damped picard": lambda **budget: Picard(damping=0.3, **budget),
    "anderson": lambda **budget: Anderson(**budget),
    "anderson of 1": lambda **budget: Anderson(history=1, **budget),
    "anderson of 12": lambda **budget: Anderson(history=12, **budget),  # more than the state has numbers
    "squarem": lambda **budget: Squarem(**budget),
}
each_solver = pytest.mark.parametrize("make", SOLVERS.values(), ids=SOLVERS.keys())
each_contraction = pytest.mark.parametrize("problem", CONTRACTIONS, ids=lambda problem: problem.name)


def solve(problem: Problem, solver: Solver):
    return fixed_point(problem.map, problem.start, operands=problem.operands, solver=solver)


def distance(problem: Problem, value) -> float:
    return max(
        float((got - true).abs().max()) for got, true in zip(parts(value), parts(problem.fixed), strict=True)
    )


@each_solver
@each_contraction
def test_reaches_the_fixed_point_of_contractions(make, problem):
    solver = make(tolerance=1e-11, max_steps=3 * problem.steps)  # damping takes longer
    solution = solve(problem, solver).require_convergence()
    assert distance(problem, solution.value) < problem.error
    assert isinstance(solution.value, tuple) == isinstance(problem.start, tuple)
    for part, begun in zip(parts(solution.value), parts(problem.start), strict=True):
        assert part.shape == begun.shape
        assert part.dtype == torch.float64


@each_solver
@each_contraction
def test_reaches_it_in_single_precision(make, problem):
    single = problem.at(torch.float32)
    solution = solve(single, make(tolerance=1e-5, max_steps=3 * problem.steps)).require_convergence()
    scale = max(float(part.abs().max()) for part in parts(problem.fixed))
    assert distance(single, solution.value) < (5e-2 if problem.name == "slow" else 2e-4) * max(scale, 1)
    assert all(part.dtype == torch.float32 for part in parts(solution.value))


@each_solver
@each_contraction
def test_residual_is_that_of_the_value(make, problem):
    solution = solve(problem, make(tolerance=1e-7, max_steps=30))
    flat = torch.cat([part.reshape(4, -1) for part in parts(solution.value)], 1)
    image = torch.cat(
        [part.reshape(4, -1) for part in parts(problem.map(solution.value, *problem.operands))], 1
    )
    expected = (image - flat).norm(dim=1) / (image.norm(dim=1) + 1e-6)
    torch.testing.assert_close(solution.residual, expected, rtol=1e-6, atol=1e-14)


@each_solver
@each_contraction
def test_trace_tells_the_whole_story(make, problem):
    solution = solve(problem, make(tolerance=1e-7, max_steps=30))
    assert solution.trace.shape == (4, int(solution.steps.max()))
    for row in range(4):
        steps = int(solution.steps[row])
        assert torch.isfinite(solution.trace[row, :steps]).all()
        assert solution.trace[row, steps:].isnan().all()
        assert solution.trace[row, :steps].min() == solution.residual[row]
        if solution.converged[row]:
            assert solution.trace[row, steps - 1] <= 1e-7
            assert (solution.trace[row, : steps - 1] > 1e-7).all()
        else:
            assert steps == 30


@pytest.mark.parametrize("make", [SOLVERS["anderson"], SOLVERS["squarem"]], ids=["anderson", "squarem"])
def test_acceleration_pays_on_slow_maps(make):
    plain = solve(slow(), Picard(tolerance=1e-9, max_steps=4000))
    fast = solve(slow(), make(tolerance=1e-9, max_steps=4000)).require_convergence()
    assert (fast.steps * 3 < plain.steps).all()


def test_anderson_solves_what_plain_iteration_cannot():
    for problem in (tripling(), rotation()):
        solution = solve(problem, Anderson(tolerance=1e-11)).require_convergence()
        assert distance(problem, solution.value) < 1e-9


def test_damping_calms_a_rotation():
    solution = solve(rotation(), Picard(damping=0.5, tolerance=1e-11, max_steps=200)).require_convergence()
    assert distance(rotation(), solution.value) < 1e-9


@pytest.mark.parametrize("make", [SOLVERS["picard"], SOLVERS["squarem"]], ids=["picard", "squarem"])
def test_a_map_that_runs_away_is_reported_with_its_best_iterate(make):
    problem = tripling()
    solution = solve(problem, make(max_steps=50))
    assert solution.status.tolist() == [Status.OUT_OF_STEPS] * 4
    assert solution.steps.tolist() == [50] * 4
    torch.testing.assert_close(solution.residual, solution.trace.amin(1))
    solution = solve(problem, make(max_steps=2000))  # now it overflows
    assert solution.status.tolist() == [Status.NOT_FINITE] * 4
    assert torch.isfinite(solution.value).all()
    assert torch.isfinite(solution.residual).all()
    with pytest.raises(
        SolveError, match=r"4 of 4 rows did not converge: 4 met NaN or infinity \(first: row 0\)"
    ) as caught:
        solution.require_convergence()
    assert caught.value.solution is solution


def test_plain_iteration_circles_until_the_steps_run_out():
    solution = solve(rotation(), Picard(max_steps=40))
    assert solution.status.tolist() == [Status.OUT_OF_STEPS] * 4
    assert solution.steps.tolist() == [40] * 4
    with pytest.raises(SolveError, match=r"4 ran out of steps \(first: row 0\)"):
        solution.require_convergence()


@each_solver
def test_nan_from_the_start_is_a_status(make):
    solution = fixed_point(torch.log, -torch.ones(2, 3), solver=make())
    assert solution.status.tolist() == [Status.NOT_FINITE] * 2
    assert solution.steps.tolist() == [1, 1]
    assert torch.equal(solution.value, -torch.ones(2, 3))
    assert solution.residual.tolist() == [torch.inf] * 2


@pytest.mark.parametrize("make", [SOLVERS["anderson"], SOLVERS["squarem"]], ids=["anderson", "squarem"])
def test_an_extrapolation_out_of_the_domain_is_taken_back(make):
    """The map contracts to a point next to the edge of its domain, over which extrapolation leaps."""

    def map(state):
        return torch.where(state < 0, torch.nan, 0.9 * state + 1e-3 * state.clamp_min(0).sqrt())

    start = torch.tensor([[1.0, 3.0], [5.0, 0.1], [1e-3, 2.0]], dtype=torch.float64)
    solution = fixed_point(map, start, solver=make(tolerance=1e-10, max_steps=500)).require_convergence()
    torch.testing.assert_close(solution.value, torch.full_like(start, 1e-4), rtol=1e-6, atol=0)


@each_solver
@pytest.mark.parametrize("gradient", [True, False])
def test_no_rows_and_rows_without_numbers(make, gradient):
    weight = torch.ones((), requires_grad=gradient)
    nothing = fixed_point(lambda state: state * weight, torch.zeros(0, 3), solver=make())
    assert nothing.value.shape == (0, 3)
    assert nothing.status.shape == nothing.steps.shape == nothing.residual.shape == (0,)
    assert nothing.trace.shape[0] == 0
    nothing.require_convergence()
    pair = fixed_point(
        lambda value, operand: (value[0] * operand, value[1]),
        (torch.zeros(0, 3), torch.zeros(0, 2, 2)),
        operands=[torch.ones(0, 1, requires_grad=gradient)],
        solver=make(),
    )
    assert [part.shape for part in pair.value] == [(0, 3), (0, 2, 2)]
    hollow = fixed_point(lambda state: state * weight, torch.zeros(4, 0), solver=make())
    assert hollow.value.shape == (4, 0)
    hollow.require_convergence()


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    make=st.sampled_from(list(SOLVERS.values())),
    rows=st.integers(0, 4),
    shapes=st.lists(st.lists(st.integers(0, 3), max_size=3), min_size=1, max_size=3),
    seed=st.integers(0, 99),
)
def test_any_shape_of_state(make, rows, shapes, seed):
    generator = torch.Generator().manual_seed(seed)
    goal = tuple(torch.randn(rows, *shape, generator=generator, dtype=torch.float64) for shape in shapes)

    def approach(value, *goal):
        return tuple(0.3 * part + 0.7 * end for part, end in zip(value, goal, strict=True))

    start = tuple(torch.zeros_like(part) for part in goal)
    solution = fixed_point(approach, start, operands=goal, solver=make(tolerance=1e-10)).require_convergence()
    for got, true in zip(solution.value, goal, strict=True):
        torch.testing.assert_close(got, true, rtol=1e-8, atol=1e-8)


def test_errors_name_the_argument():
    state = torch.zeros(3, 2)
    for call, words in (
        (lambda: fixed_point(torch.cos, ()), "`start` must hold at least one tensor"),
        (lambda: fixed_point(torch.cos, torch.tensor(0.0)), "`start` must have a leading batch axis"),
        (
            lambda: fixed_point(torch.cos, torch.zeros(3, dtype=torch.long)),
            "`start` must be of floating point",
        ),
        (
            lambda: fixed_point(torch.add, state, operands=[torch.ones(2, 2)]),
            r"`operands` must have the batch size .* 3",
        ),
        (
            lambda: fixed_point(lambda z: z[:, :1], state),
            r"`map` must keep the shapes of its value, \[\(3, 2\)\]",
        ),
        (lambda: Picard(damping=1.0), "`damping`"),
        (lambda: Picard(tolerance=-1.0), "`tolerance`"),
        (lambda: Picard(tolerance=float("nan")), "`tolerance`"),
        (lambda: Squarem(max_steps=0), "`max_steps`"),
        (lambda: Squarem(longest=0.5), "`longest`"),
        (lambda: Squarem(growth=0.0), "`growth`"),
        (lambda: Anderson(history=0), "`history`"),
        (lambda: Anderson(regularization=0.0), "`regularization`"),
        (lambda: Anderson(growth=1.0), "`growth`"),
        (lambda: Anderson(floor=0.0), "`floor`"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


# -- every row by itself ---------------------------------------------------------------------------


def zoo() -> Problem:
    """Rows that converge at different speeds, are at rest, circle, run away, or are NaN."""
    turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    eye = torch.eye(2, dtype=torch.float64)
    matrix = torch.stack(
        [0.5 * eye, 0.97 * eye, turn, 3 * eye, 0 * eye, -0.8 * turn, eye * torch.nan, 0.2 * eye + 0.5 * turn]
    )
    shift = torch.linspace(-1, 1, 16, dtype=torch.float64).view(8, 2)
    return Problem(
        name="zoo",
        map=lambda state, a, b: (a @ state[..., None])[..., 0] + b,
        start=torch.ones(8, 2, dtype=torch.float64),
        operands=(matrix, shift),
        fixed=torch.zeros(8, 2, dtype=torch.float64),
    )


def solved(problem: Problem, solver: Solver, captured: bool):
    if not captured:
        return solve(problem, solver)
    return fixed_point(lambda state: problem.map(state, *problem.operands), problem.start, solver=solver)


@each_solver
@pytest.mark.parametrize("captured", [False, True], ids=["operands", "captured"])
def test_rows_do_not_feel_each_other(make, captured):
    problem, solver = zoo(), make(tolerance=1e-9, max_steps=100)
    whole = solved(problem, solver, captured)
    assert Status.NOT_FINITE in whole.status and Status.CONVERGED in whole.status
    choices = [
        [7, 6, 5, 4, 3, 2, 1, 0],
        *[[row] for row in range(8)],
        [0, 6],
        [1, 1, 4],
        [6, 6, 3],
        [5, 2, 0, 7, 1],
    ]
    for index in choices:
        part = solved(problem.rows(index), solver, captured)
        assert part.status.tolist() == whole.status[index].tolist()
        assert part.steps.tolist() == whole.steps[index].tolist()
        torch.testing.assert_close(part.value, whole.value[index], rtol=1e-10, atol=1e-10)
        width = part.trace.shape[1]
        assert torch.equal(part.trace.isnan(), whole.trace[index, :width].isnan())


@each_solver
def test_operands_or_captured_makes_no_difference(make):
    solver = make(tolerance=1e-9, max_steps=300)
    given_, captured = solved(zoo(), solver, captured=False), solved(zoo(), solver, captured=True)
    assert given_.status.tolist() == captured.status.tolist()
    assert given_.steps.tolist() == captured.steps.tolist()
    torch.testing.assert_close(given_.value, captured.value, rtol=1e-10, atol=1e-10)


@each_solver
def test_finished_rows_are_left_out(make):
    sizes = []

    def counted(state, rate, large):
        sizes.append(len(state))
        assert len(large) == len(state)
        return rate * state + 1

    rate = torch.tensor([[0.0]] * 9 + [[0.97]], dtype=torch.float64)
    large = torch.zeros(10, 2**13, dtype=torch.float64)  # small ones would not be worth the copying
    fixed_point(
        counted,
        torch.zeros(10, 1, dtype=torch.float64),
        operands=[rate, large],
        solver=make(tolerance=1e-9, max_steps=1500),
    )
    assert sizes[0] == 10
    assert sizes[-2] == 1
    assert all(later <= earlier for earlier, later in itertools.pairwise(sizes[:-1]))


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    rates=st.lists(st.floats(-1.5, 1.5), min_size=1, max_size=6),
    others=st.lists(st.sampled_from([0.0, 0.9, -2.0, 3.0, float("nan"), float("inf")]), max_size=4),
    solver=st.sampled_from([Picard(), Anderson(), Anderson(history=2), Squarem(), Picard(damping=0.5)]),
)
def test_adding_rows_changes_no_row(rates, others, solver):
    def run(rates):
        rate = torch.tensor(rates, dtype=torch.float64)[:, None]
        start = torch.ones(len(rates), 2, dtype=torch.float64)
        return fixed_point(lambda z, rate: rate * torch.sin(z) + 1, start, operands=[rate], solver=solver)

    alone, together = run(rates), run(others + rates)
    assert together.status[len(others) :].tolist() == alone.status.tolist()
    assert together.steps[len(others) :].tolist() == alone.steps.tolist()
    torch.testing.assert_close(together.value[len(others) :], alone.value, rtol=1e-9, atol=1e-9)


def test_solvers_start_from_a_copy():
    start = torch.ones(4, 5, dtype=torch.float64)
    problem = linear()
    fixed_point(problem.map, start, operands=problem.operands, solver=Anderson())
    assert torch.equal(start, torch.ones_like(start))


def test_a_solution_is_shown_on_one_line():
    start = torch.ones(3, 2)
    start[1] = torch.nan
    solution = fixed_point(lambda z: z / 2, start, solver=Picard(tolerance=1e-3, max_steps=40))
    text = repr(solution)
    assert text.startswith("Solution(3 rows: 2 converged, 1 met NaN or infinity; 1 to ")
    assert text.endswith("steps; value of (3, 2))")
