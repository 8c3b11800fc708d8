"""What the outlier layer costs within a training step of the demo's model."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from typing_extensions import override

from vkood.data.prepare import prepare
from vkood.data.readers.easy_vqa import read_easy_vqa_knowledge
from vkood.demo.plan import Plan, Workshop
from vkood.demo.towers import image_processor, new_image_tower, save_text_tower
from vkood.gating import OutlierLayer
from vkood.mixture import fit_mixture
from vkood.tasks.answering import AnsweringTask
from vkood.train.training import train

from ..measuring import clock, interleaved, ratio

GATES: dict[str, dict[str, Any]] = {
    "the default": {},
    "two Gaussians": {"family": "diagonal", "num_components": 2},
}


def training_step(rounds: int, steps: int) -> dict[str, object]:
    """The layer's share in a step of the demo's own training: its rows, its collator, its Trainer."""
    return {name: _of_gate(gate, rounds, steps) for name, gate in GATES.items()}


def _of_gate(gate: dict[str, Any], rounds: int, steps: int) -> dict[str, object]:
    """Steps are timed as they are taken, where Numba fits by Numba and by torch in turns; then the layer alone."""
    with tempfile.TemporaryDirectory() as folder:
        workshop, plan = Workshop(folder=Path(folder)), Plan(steps=steps)
        save_text_tower(workshop.text_tower, seed=0)
        new_image_tower(0).resnet.save_pretrained(workshop.image_tower)  # what it has learnt takes no time
        image_processor().save_pretrained(workshop.image_tower)
        prepare(read_easy_vqa_knowledge(epochs=plan.epochs, floods=[]), workshop.tables)
        watch = _Watch(turns=bool(gate))
        run = plan.training(workshop, "filtered")
        run = replace(run, model=replace(run.model, config=run.model.config | {"gate": gate}))
        train(run, task=TimedAnswering(single_answer=True, watch=watch))
    spans = [after - before for before, after in pairwise(watch.moments)]
    first = len(spans) // 3 // 2 * 2  # steps to warm up, in pairs
    seconds = {"whole step": spans[first:]}
    if watch.turns:
        in_torch, by_numba = spans[first::2], spans[first + 1 :: 2]  # the first span follows a step by Numba
        seconds = {"whole step": by_numba, "whole step in torch": in_torch}
        pairs = min(len(in_torch), len(by_numba))
        slower = ratio(in_torch[:pairs], by_numba[:pairs])
        print(f"A step in torch takes {slower:.3f} times as long as by Numba (pairs)")
    watch.layer.backend = None
    seconds |= interleaved(_alone(watch.layer, watch.last), rounds)
    taken = watch.last["solution"].steps
    facts = tuple(watch.last["named"]["candidate_mask"].shape)
    context = tuple(watch.last["named"]["context"].shape)
    measured = (
        f"context {context}, facts {facts}; fit: {float(taken.float().mean()):.0f} / {int(taken.max())} steps"
    )
    return {"measured": measured, "seconds": seconds}


class _Watch(TrainerCallback):
    """Notes when each step ends, lets the back ends take turns, and keeps what the layer was last given."""

    def __init__(self, *, turns: bool) -> None:
        self.turns = turns
        self.moments: list[float] = []
        self.last: dict[str, Any] = {}
        self.layer: Any = None

    def observe(self, model: Any) -> None:
        """Observe a model's layer from now on."""
        self.layer = model.base_model.outlier_layer
        assert isinstance(self.layer, OutlierLayer)
        self.layer.backend = "numba" if self.turns else None
        self.layer.register_forward_hook(self._remember, with_kwargs=True)

    @override
    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.moments.append(clock())
        if self.turns:
            self.layer.backend = "torch" if self.layer.backend == "numba" else "numba"

    def _remember(
        self, module: OutlierLayer, positional: tuple[Tensor, ...], named: dict[str, Any], output: Any
    ) -> None:
        if module.training:
            self.last = {"positional": positional, "named": named, "solution": output.solution}


@dataclass(frozen=True, kw_only=True)
class TimedAnswering(AnsweringTask):
    """Answering whose training steps are timed.

    Attributes:
        watch: Notes the times.
    """

    watch: _Watch | None = None

    @override
    def callbacks(self, model: Any) -> list[TrainerCallback]:
        assert self.watch is not None
        self.watch.observe(model)
        return [self.watch]


def _alone(layer: OutlierLayer, last: dict[str, Any]) -> dict[str, Any]:
    """Forward and backward of the layer, and of the fit in it."""

    def detached(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return value.detach().requires_grad_(value.requires_grad)

    positional = [detached(value) for value in last["positional"]]
    named = {name: detached(value) for name, value in last["named"].items()}
    arriving = named["candidate_mask"].float()  # as attention, nothing comes back from facts that are masked

    def alone() -> None:
        layer(*positional, **named).log_gate.backward(arriving)

    tokens = layer.joint.context(named["context"], None).detach().requires_grad_()

    def fit_alone() -> None:
        mixture, _ = fit_mixture(
            tokens,
            num_components=layer.num_components,
            family=layer.family,
            prior=layer.prior,
            solver=layer.solver,
        )
        (mixture.mean.sum() + mixture.log_scale.sum()).backward()

    return {"layer alone": alone, "of which the fit": fit_alone}
