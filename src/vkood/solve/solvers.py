"""How to iterate: Picard, Anderson and squared extrapolation (SQUAREM), every row by itself.

A solver is a frozen record of options with two hooks, `init` and `advance`. It sees each iterate and its
image as (rows, n) matrices, and says where to evaluate next. All state of a row sits
in that row of the `Memory`, so that `iteration.py` can drop rows that have finished without the others noticing.

Legend: B rows, n numbers of state in a row, m history.
"""

# What torch.linalg and some methods of tensors return is unknown to the type checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import abc
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor
from typing_extensions import override

from vkood.fields import Real, Whole, require_rules, ruled

# Iterates beyond which Anderson's small systems are no longer small.
_LONGEST_HISTORY = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What a solver remembers between two evaluations; every array has the rows as its first axis."""

    recoverable: Bool[Tensor, " rows"] | None = None
    """Rows whose iterate was extrapolated: should the map fail there, they go back to a plain one."""

    def take(self, rows: Tensor) -> Memory:
        """Keep only the given rows."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        tensors: dict[str, Any] = {name: value for name, value in values.items() if isinstance(value, Tensor)}
        return replace(self, **{name: value[rows] for name, value in tensors.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Solver(abc.ABC):
    """Options that every solver has.

    Attributes:
        tolerance: A row has converged when `|F(z) - z| <= tolerance * (|F(z)| + floor)`.
        max_steps: How many times the map may be evaluated for a row.
        floor: Size below which a row's norm counts as zero, so that a fixed point at the origin can be
            reached.
    """

    tolerance: float = ruled(1e-5, Real(0))
    max_steps: int = ruled(100, Whole())
    floor: float = ruled(1e-6, Real(0, above=True))

    def __post_init__(self) -> None:
        """Check the options."""
        require_rules(self)

    @abc.abstractmethod
    def init(self, start: Tensor) -> Memory:
        """The memory before the first evaluation, at the states `start` (rows, n)."""

    @abc.abstractmethod
    def advance(
        self, iterate: Tensor, image: Tensor, residual: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """Where to evaluate the map next, given iterates, images (rows, n) and relative residuals (rows,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picard(Solver):
    """Plain iteration z <- (1 - damping) F(z) + damping z.

    Attributes:
        damping: Share of the old iterate that is kept, in [0, 1). Positive values calm maps that oscillate.
    """

    damping: float = ruled(0.0, Real(0, 1, below=True))

    @override
    def init(self, start: Tensor) -> Memory:
        return Memory()

    @override
    def advance(
        self, iterate: Tensor, image: Tensor, residual: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        return (image + self.damping * (iterate - image) if self.damping else image), memory


@dataclass(frozen=True, slots=True, kw_only=True)
class _SquaremMemory(Memory):
    phase: int  # how many plain evaluations this cycle has seen; all rows march together
    base: Tensor  # (B, n) the cycle's first iterate
    fallback: Tensor  # (B, n) the plain iterate to return to if the extrapolation is worse
    before: Tensor  # (B,) residual before the extrapolation
    longest: Tensor  # (B,) how far the row may extrapolate
    longer: Tensor  # (B,) how far it may once the last jump has paid off

    def following(
        self, phase: int, base: Tensor | None = None, longest: Tensor | None = None
    ) -> _SquaremMemory:
        """The memory of another phase, with no row extrapolated."""
        return _SquaremMemory(  # `dataclasses.replace` takes as long as an operation on the states
            phase=phase,
            base=self.base if base is None else base,
            fallback=self.fallback,
            before=self.before,
            longest=self.longest if longest is None else longest,
            longer=self.longer,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Squarem(Solver):
    """Squared extrapolation, scheme S3 of Varadhan and Roland (2008), made for EM.

    A cycle takes two plain steps r = F(z) - z, v = F(F(z)) - F(z) - r, jumps to z + 2ar + a^2 v with a = |r|
    / |v|, and takes one plain step from there. A row whose residual grew in the jump returns to F(F(z)).

    Attributes:
        longest: Largest length a of a row's first jump; it is doubled twice whenever it was reached and paid
            off, and halved twice whenever the jump was refused.
        growth: A jump is refused when it makes the residual larger than this multiple of the one before.
    """

    longest: float = ruled(8.0, Real(1))
    growth: float = ruled(10.0, Real(0, above=True))

    @override
    def init(self, start: Tensor) -> _SquaremMemory:
        longest = start.new_full((len(start),), self.longest)
        return _SquaremMemory(
            phase=0,
            base=start,
            fallback=start,
            before=torch.zeros_like(longest),
            longest=longest,
            longer=longest,
        )

    @override
    def advance(
        self, iterate: Tensor, image: Tensor, residual: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        assert isinstance(memory, _SquaremMemory)
        if memory.phase == 0:
            return image, memory.following(phase=1, base=iterate)
        if memory.phase == 1:
            return self._jump(iterate, image, residual, memory)
        accepted = residual <= self.growth * memory.before  # false for NaN
        if bool(accepted.all()):  # spares the usual case the copies
            return image, memory.following(phase=0, longest=memory.longer)
        following = torch.where(accepted[:, None], image, memory.fallback)
        longest = torch.where(accepted, memory.longer, (memory.longest / 4).clamp_min(1.0))
        return following, memory.following(phase=0, longest=longest)

    def _jump(
        self, iterate: Tensor, image: Tensor, residual: Tensor, memory: _SquaremMemory
    ) -> tuple[Tensor, _SquaremMemory]:
        first = iterate - memory.base
        bend = image - iterate - first
        with torch.no_grad():
            bent = torch.linalg.vector_norm(bend, dim=1).clamp_min(torch.finfo(bend.dtype).tiny)
            wanted = torch.linalg.vector_norm(first, dim=1) / bent
            along = torch.minimum(wanted.clamp_min(1.0), memory.longest)[:, None]
        # should this overflow, then the residual there will have it refused
        target = memory.base + along * (2 * first + along * bend)
        return target, _SquaremMemory(
            phase=2,
            recoverable=residual == residual,  # all but NaN, with which no row goes on
            base=memory.base,
            fallback=image,
            before=residual,
            longest=memory.longest,
            longer=torch.where(wanted >= memory.longest, 4 * memory.longest, memory.longest),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _AndersonMemory(Memory):
    images: Tensor  # (B, m, n)
    differences: Tensor  # (B, m, n) F(z) - z, each of length 1
    sizes: Tensor  # (B, m) their lengths; infinite where the slot is empty
    slot: int
    previous: Tensor  # (B, n) the last plain image, to return to
    best: Tensor  # (B,) smallest residual since the row last restarted
    stale: Tensor  # (B,) steps since then that did not lower it
    rest: Tensor  # (B,) plain steps that the row has yet to take before it is accelerated again
    pause: Tensor  # (B,) how many it will take after its next restart


@dataclass(frozen=True, slots=True, kw_only=True)
class Anderson(Solver):
    """Anderson acceleration: the combination of the last images whose residuals cancel best.

    The small least-squares system of every row is scaled to unit diagonal, regularised and solved in float64,
    so a singular one is harmless. A row restarts when its residual grows (from its last plain image) or has
    not fallen for 2 * history steps: it forgets, and takes plain steps, twice as many each time, before it is
    accelerated again. So it gets at last wherever plain iteration gets, past saddles as well, which attract
    Anderson's combinations.

    Attributes:
        history: How many iterates are combined, at least 1 (1 is Picard).
        regularization: Ridge on the scaled system.
        growth: A row restarts when its residual exceeds this multiple of its smallest one since the last
            restart.
    """

    history: int = ruled(5, Whole(1, _LONGEST_HISTORY))
    regularization: float = ruled(1e-8, Real(0, above=True))
    growth: float = ruled(4.0, Real(1, above=True))

    @override
    def init(self, start: Tensor) -> _AndersonMemory:
        rows, n = start.shape
        empty = start.new_zeros((rows, self.history, n))
        return _AndersonMemory(
            images=empty,
            differences=empty,
            sizes=start.new_full((rows, self.history), torch.inf),
            slot=0,
            previous=start,
            best=start.new_full((rows,), torch.inf),
            stale=start.new_zeros((rows,), dtype=torch.long),
            rest=start.new_zeros((rows,), dtype=torch.long),
            pause=start.new_ones((rows,), dtype=torch.long),
            recoverable=torch.zeros(rows, dtype=torch.bool, device=start.device),
        )

    @override
    def advance(
        self, iterate: Tensor, image: Tensor, residual: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        assert isinstance(memory, _AndersonMemory)
        assert isinstance(memory.recoverable, Tensor)
        resting = memory.rest > 0
        stale = (memory.stale + 1).masked_fill(resting | (residual < memory.best), 0)
        failed = memory.recoverable & ~(residual <= self.growth * memory.best)  # true for NaN
        restart = failed | (stale >= 2 * self.history)
        difference = image - iterate
        size = torch.linalg.vector_norm(difference, dim=1).clamp_min(torch.finfo(difference.dtype).tiny)
        unit = difference / size[:, None]

        slot = torch.arange(self.history, device=image.device) == memory.slot
        here = slot[:, None]
        memory = replace(
            memory,
            images=torch.where(here, image[:, None], memory.images),
            differences=torch.where(here, unit[:, None], memory.differences),
            sizes=torch.where(slot, size[:, None], memory.sizes),
            slot=(memory.slot + 1) % self.history,
            best=torch.where(resting, residual, torch.minimum(memory.best, residual)),
            stale=stale,
            rest=memory.rest - 1,
        )
        plain = image
        if bool(restart.any()):
            plain = torch.where(failed[:, None], memory.previous, image)
            memory = self._restarted(memory, restart)
        mixed = torch.bmm(self._weights(memory.differences, memory.sizes)[:, None], memory.images)[:, 0]
        usable = torch.isfinite(mixed.detach()).all(1) & (memory.rest <= 0)
        return torch.where(usable[:, None], mixed, plain), replace(memory, previous=plain, recoverable=usable)

    def _restarted(self, memory: _AndersonMemory, rows: Tensor) -> _AndersonMemory:
        """The given rows forget, and rest for twice as long as the last time."""
        return replace(
            memory,
            images=memory.images.masked_fill(rows[:, None, None], 0.0),
            differences=memory.differences.masked_fill(rows[:, None, None], 0.0),
            sizes=memory.sizes.masked_fill(rows[:, None], torch.inf),
            best=memory.best.masked_fill(rows, torch.inf),
            stale=memory.stale.masked_fill(rows, 0),
            rest=torch.where(rows, memory.pause, memory.rest),
            pause=torch.where(rows, 2 * memory.pause, memory.pause),
        )

    def _weights(self, differences: Tensor, sizes: Tensor) -> Tensor:
        """Weights (B, m) that sum to 1 and make the combined residual smallest; 0 for empty slots.

        Where all slots are empty they mean nothing, but are finite, lest `Unrolled` meets 0 * NaN in its
        backward.
        """
        empty = sizes == torch.inf
        smallest = sizes.detach().amin(1, keepdim=True)
        inverse = torch.where(empty.all(1, keepdim=True), 1.0, smallest / sizes)  # (B, m); 0 where empty
        gram = torch.bmm(differences, differences.mT).double()
        gram.diagonal(dim1=1, dim2=2).add_(self.regularization + empty)
        factor, _ = torch.linalg.cholesky_ex(gram)
        solved = torch.cholesky_solve(inverse[..., None].double(), factor)[..., 0] * inverse
        return (solved / solved.sum(1, keepdim=True)).to(sizes.dtype)
