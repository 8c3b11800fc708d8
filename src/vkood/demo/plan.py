"""What the demo does: its arms, how they are trained, and the floods that they are tested with."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from vkood.data.readers.easy_vqa import EPOCHS, Flood
from vkood.recipes.easy_vqa import SMALL_FUSION, easy_vqa_knowledge
from vkood.train.record import LAST
from vkood.train.run import DataOptions, ModelOptions, Run

Arm = Literal["no_facts", "unfiltered", "filtered"]
ARMS: tuple[Arm, ...] = ("no_facts", "unfiltered", "filtered")
PLAIN_TEST = "easy_vqa_test"
"""The table of easy-VQA's own test questions."""

GALLERY = Flood(irrelevant=6)
"""The facts that come with the examples of the report."""
GALLERY_SIZE = 12


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """The folder in which jobs leave their files for each other."""

    folder: Path

    @property
    def tables(self) -> Path:
        """The tables of questions."""
        return self.folder / "tables"

    @property
    def vectors(self) -> Path:
        """The vectors of facts.

        They lie here and not where other runs would find them: a sentence's vector differs in its last bits with the
        batch it was encoded in, and a run with the same seed is to give the same numbers.
        """
        return self.folder / "vectors"

    @property
    def image_tower(self) -> Path:
        """The pretrained image tower, with how pictures are prepared."""
        return self.folder / "image-tower"

    @property
    def text_tower(self) -> Path:
        """The text tower at initialisation, with the questions' tokenizer."""
        return self.folder / "text-tower"

    def run(self, arm: Arm) -> Path:
        """The folder of an arm's training."""
        return self.folder / arm

    def model(self, arm: Arm) -> Path:
        """An arm's trained model, with its processor."""
        return self.run(arm) / LAST


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that the results depend on.

    Attributes:
        seed: Random seed of weights, order and draws.
        tower_steps: Optimiser steps of the image tower's pretraining.
        steps: Optimiser steps of every arm.
        irrelevant: Numbers of irrelevant facts to test with.
        contradicting: Numbers of contradicting facts to test with.
        gate_loss: Weight of the loss by which gates learn from the attention.
    """

    seed: int = 0
    tower_steps: int = 600
    steps: int = 2000
    irrelevant: tuple[int, ...] = (0, 3, 12, 48, 150)
    contradicting: tuple[int, ...] = (6, 12, 24, 48)
    gate_loss: float = 0.1

    @property
    def floods(self) -> dict[str, dict[str, Flood]]:
        """The floods by kind and number."""
        return {
            "irrelevant": {str(number): Flood(irrelevant=number) for number in self.irrelevant},
            "contradicting": {str(number): Flood(contradicting=number) for number in self.contradicting},
        }

    @property
    def all_floods(self) -> list[Flood]:
        """All floods."""
        return [flood for of_kind in self.floods.values() for flood in of_kind.values()]

    @property
    def epochs(self) -> int:
        """Epochs of draws that the arms' training takes."""
        return max(1, math.ceil(self.steps * EPOCHS / Plan.steps))

    def training(self, workshop: Workshop, arm: Arm) -> Run:
        """The run that trains an arm's model; only "filtered" has a gate, and "no_facts" has the same questions."""
        run = easy_vqa_knowledge()
        gate = {} if arm == "filtered" else {"gate": {"kind": "none"}}
        model = replace(
            run.model,
            image=str(workshop.image_tower),
            text=str(workshop.text_tower),
            config=SMALL_FUSION | gate,
        )
        optimisation = replace(
            run.optimisation,
            seed=self.seed,
            steps=self.steps,
            gate_loss=self.gate_loss,
            save_every=self.steps,
            log_every=25,
        )
        return replace(
            run,
            model=model,
            data=_data(workshop, arm, run.data, validation=[], test=[]),
            optimisation=optimisation,
            output=str(workshop.run(arm)),
            num_gpus=0,
        )

    def testing(self, workshop: Workshop, arm: Arm) -> Run:
        """The run that tests an arm's model: easy-VQA's questions, and every flood that reaches it."""
        run = easy_vqa_knowledge()
        tables = [flood.table for flood in self.all_floods]
        if arm == "no_facts":  # no flood reaches it, so one test stands for all
            tables = tables[:1]
        return replace(
            run,
            model=ModelOptions(checkpoint=str(workshop.model(arm))),
            data=_data(workshop, arm, run.data, train=[], validation=[], test=[*tables, PLAIN_TEST]),
            optimisation=replace(run.optimisation, device_batch_size=128),
            output=str(workshop.folder / f"{arm}-tests"),
            num_gpus=0,
            evaluate_only=True,
        )


def plan(*, seed: int = 0, quick: bool = False) -> Plan:
    """The plan of `vkood demo --train`.

    Args:
        seed: Random seed of weights, order and draws.
        quick: A plan that shows all parts in a fraction of the time: it trains just long enough for the filter to pay,
            and tests fewer floods.
    """
    if not quick:
        return Plan(seed=seed)
    return Plan(seed=seed, tower_steps=300, steps=600, irrelevant=(0, 12, 48), contradicting=(6, 48))


def _data(workshop: Workshop, arm: Arm, data: DataOptions, **tables: list[str]) -> DataOptions:
    folder, vectors = str(workshop.tables), str(workshop.vectors)
    return replace(data, folder=folder, fact_vectors=vectors, facts=arm != "no_facts", **tables)
