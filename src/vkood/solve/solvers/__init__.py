"""How to iterate: `Picard`, `Anderson` and squared extrapolation, `Squarem`; each row by itself."""

from vkood.solve.solvers.anderson import Anderson
from vkood.solve.solvers.base import Memory, Solver
from vkood.solve.solvers.picard import Picard
from vkood.solve.solvers.squarem import Squarem

__all__ = ["Anderson", "Memory", "Picard", "Solver", "Squarem"]
