"""The report of a checkpoint conversion: the outcome of every key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vkood.models.convert.reading import CheckpointError

Outcome = Literal["loaded", "resized", "missing", "unexpected"]
_SHOWN = 5
_MAX_NAME_LENGTH = 120


@dataclass(frozen=True, slots=True)
class KeyReport:
    """The outcome of a key.

    Args:
        name: The key in the checkpoint; of a missing one, the name in our model.
        outcome: "loaded", "resized" (for another resolution), "missing" (the model has it, the file does not) or
            "unexpected" (the file has it, the model does not).
        ours: Where it went in our model; several names for tensors that were split.
        allowed: Why it is right that a key is missing or unexpected, empty if it is not; of a loaded one, what else
            there is to say.
    """

    name: str
    outcome: Outcome
    ours: tuple[str, ...] = ()
    allowed: str = ""


@dataclass(frozen=True, slots=True)
class CheckpointReport:
    """The kind of a checkpoint, and the outcome of each of its keys.

    Args:
        family: "meter" or "blip".
        task: What the model is for.
        model: The class of our model.
        towers: What its towers are, in words.
        image_size: Height and width of the images, in pixels.
        keys: All keys: the file's in their order, then those that it lacks.
        notes: What was assumed because the file does not state it, such as a number of attention heads.
    """

    family: str
    task: str
    model: str
    towers: str
    image_size: int
    keys: tuple[KeyReport, ...]
    notes: tuple[str, ...] = ()

    def of(self, outcome: Outcome) -> tuple[KeyReport, ...]:
        """The keys with an outcome."""
        return tuple(key for key in self.keys if key.outcome == outcome)

    @property
    def problems(self) -> tuple[KeyReport, ...]:
        """Missing and unexpected keys that are not allowed."""
        return tuple(key for key in self.keys if key.outcome in ("missing", "unexpected") and not key.allowed)

    def require_complete(self) -> None:
        """Refuse a checkpoint that the model does not fit.

        Raises:
            CheckpointError: If there are problems; it names the first.
        """
        if not self.problems:
            return
        parts = []
        for outcome, verb in (("missing", "lacks"), ("unexpected", "has besides")):
            names = [key.name for key in self.problems if key.outcome == outcome]
            if names:
                more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
                parts.append(f"{verb} {', '.join(map(_cut, names[:_SHOWN]))}{more}")
        raise CheckpointError(
            f"The checkpoint is not a whole {self.family} model for {self.task}: it {'; it '.join(parts)}."
        )

    @property
    def summary(self) -> str:
        """A line for the whole, and one for each note."""
        counts = ", ".join(
            f"{len(self.of(outcome))} {outcome}" for outcome in ("loaded", "resized", "missing", "unexpected")
        )
        head = f"{self.family}, {self.task}: {self.towers}, {self.image_size} pixels; {counts}"
        return "\n".join([head, *(f"  note: {note}" for note in self.notes)])

    def __str__(self) -> str:
        """The summary, then a line for each key."""
        lines = [
            f"  {key.outcome:10} {key.name}"
            + (f" -> {', '.join(key.ours)}" if key.ours else "")
            + (f"  ({key.allowed})" if key.allowed else "")
            for key in self.keys
        ]
        return "\n".join([self.summary, *lines])


def shortened(name: str) -> str:
    """A name in quotation marks, cut in the middle if it is long."""
    return repr(_cut(name))


def _cut(name: str) -> str:
    half = _MAX_NAME_LENGTH // 2
    return name if len(name) <= _MAX_NAME_LENGTH else f"{name[:half]}...{name[-half:]}"
