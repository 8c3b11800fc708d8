"""Fixed points of batched maps: find them row by row, and differentiate through them.

Knows tensors only; nothing of mixtures, images or text.
"""

from vkood.solve.fixed_point import fixed_point
from vkood.solve.gradients import ConvergenceWarning, Gradient, Implicit, LastIterate, Neumann, Unrolled
from vkood.solve.solution import Solution, SolveError, Status
from vkood.solve.solvers import Anderson, Picard, Solver, Squarem

__all__ = [
    "Anderson",
    "ConvergenceWarning",
    "Gradient",
    "Implicit",
    "LastIterate",
    "Neumann",
    "Picard",
    "Solution",
    "SolveError",
    "Solver",
    "Squarem",
    "Status",
    "Unrolled",
    "fixed_point",
]
