"""How the model learns to read facts, and the layer, through the frozen model, which facts to let in."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import get_linear_schedule_with_warmup

from vkood.data.easy_vqa_knowledge import Question, TrainingQuestions
from vkood.files import complete_file
from vkood.gating import Gate, GateOutput, OutlierLayer
from vkood.pipelines import gate_attention

from ..knowledge_noise.materials import Materials, Pictures
from .questions import of_one_kind
from .vlm import SmallVlm

_BATCH, _WARMUP = 16, 0.05  # pictures a step; share of the steps in which the rate rises
_VLM_RATE, _LAYER_RATE = 3e-3, 2e-3
_REPORT_EVERY = 100


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is trained.

    Attributes:
        seed: Of weights, order and draws.
        vlm_steps: Steps of the model, of 16 pictures with three questions each.
        layer_steps: Steps of the layer, of 16 pictures with two questions each.
    """

    seed: int = 0
    vlm_steps: int = 1200
    layer_steps: int = 500


def trained_vlm(materials: Materials, plan: Plan, scratch: Path) -> SmallVlm:
    """The model, which learns to answer from the picture and from a few facts, among them the one that answers.

    It sees no gate.
    """
    vlm = SmallVlm(plan.seed, *materials.train.tokens.shape[1:])
    path = scratch / f"vlm{plan.seed}-{plan.vlm_steps}.safetensors"
    if path.exists():
        vlm.load_state_dict(load_file(path), strict=False)  # tied weights are there once
        return vlm.eval()
    questions = TrainingQuestions(plan.seed, plain=1, knowledge=2, plain_facts_share=0.0, irrelevant=(0, 2))
    generator = np.random.default_rng(plan.seed)

    def loss(batch: list[Question], pictures: Tensor) -> Tensor:
        facts = [some_facts(question, generator) for question in batch]
        return functional.cross_entropy(vlm(vlm.prompts(batch, facts), pictures), vlm.labels(batch))

    vlm.train()
    _train(vlm, loss, _batches(materials.train, questions, plan.seed), plan.vlm_steps, _VLM_RATE)
    weights = {name: weight for name, weight in vlm.state_dict().items() if "lm_head" not in name}
    with complete_file(path) as unfinished:
        save_file(weights, unfinished)
    return vlm.eval()


def trained_layer(materials: Materials, vlm: SmallVlm, plan: Plan) -> OutlierLayer:
    """The layer with its defaults, which learns from answers alone: gradients reach the gates through the model."""
    vlm.requires_grad_(False)
    torch.manual_seed(plan.seed)
    layer = OutlierLayer(materials.facts.features.shape[1], materials.train.tokens.shape[-1])
    questions = TrainingQuestions(plan.seed, plain=0, knowledge=2)

    def loss(batch: list[Question], pictures: Tensor) -> Tensor:
        prompts = vlm.prompts(batch, [question.facts for question in batch])
        log_gate = gated(layer, materials, batch, pictures).log_gate
        with gate_attention(vlm.llava, log_gate, prompts.fact_of_token):
            return functional.cross_entropy(vlm(prompts, pictures), vlm.labels(batch))

    _train(layer, loss, _batches(materials.train, questions, plan.seed), plan.layer_steps, _LAYER_RATE)
    return layer.eval()


@torch.no_grad()
def calibrated_gate(materials: Materials, layer: OutlierLayer, plan: Plan, keep_rate: float) -> Gate:
    """The layer's gate with a threshold that keeps this share of matching facts, of held-out training pictures."""
    drawn = TrainingQuestions(plan.seed, plain=0, knowledge=1)
    questions = [
        of_one_kind(question) for row in materials.held_out.rows for question in drawn.about(row, epoch=0)
    ]
    pictures = materials.held_out.tokens[[question.picture for question in questions]]
    scores = gated(layer, materials, questions, pictures).score
    matches = [
        row[: len(question.matches)][torch.tensor(question.matches)]
        for row, question in zip(scores, questions, strict=True)
    ]
    gate = copy.deepcopy(layer.gate)
    gate.calibrate(torch.cat(matches), keep_rate)
    return gate


def gated(
    layer: OutlierLayer, materials: Materials, questions: Sequence[Question], pictures: Tensor
) -> GateOutput:
    """What the layer says of the facts of questions about these pictures, (batch, tokens, width)."""
    vectors = materials.facts.padded([question.facts for question in questions])
    return layer(vectors["fact_features"], context=pictures, candidate_mask=vectors["fact_mask"])


def some_facts(question: Question, generator: np.random.Generator) -> list[str]:
    """From one to all of a question's facts in random order, among them the one of its answer.

    So the model learns to read what a filter hands on, be it much or little.

    Args:
        question: With facts of different entities, or with none.
        generator: The source of randomness.
    """
    order = generator.permutation(len(question.facts)).tolist()
    order.sort(key=lambda place: not question.matches[place])
    chosen = order[: int(generator.integers(1, len(order) + 1))] if order else []
    return [question.facts[place] for place in generator.permutation(chosen).tolist()]


def _batches(
    pictures: Pictures, questions: TrainingQuestions, seed: int
) -> Iterator[tuple[list[Question], Tensor]]:
    """Questions about random pictures, with the tokens of each question's picture, for ever."""
    generator = torch.Generator().manual_seed(seed)
    epoch = 0
    while True:
        order = torch.randperm(len(pictures.rows), generator=generator)
        for places in order.split(_BATCH)[: len(order) // _BATCH]:
            rows = [pictures.rows[place] for place in places.tolist()]
            drawn = [question for row in rows for question in questions.about(row, epoch=epoch)]
            batch = [of_one_kind(question) for question in drawn]
            yield batch, pictures.tokens[[question.picture for question in batch]]
        epoch += 1


def _train(
    learner: nn.Module,
    loss_of: Callable[[list[Question], Tensor], Tensor],
    batches: Iterator[tuple[list[Question], Tensor]],
    steps: int,
    learning_rate: float,
) -> None:
    optimizer = torch.optim.AdamW(learner.parameters(), lr=learning_rate, weight_decay=0.01, fused=True)
    schedule = get_linear_schedule_with_warmup(optimizer, round(_WARMUP * steps), steps)
    losses = 0.0
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        loss = loss_of(*next(batches))
        loss.backward()
        nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses += loss.item()
        if step % _REPORT_EVERY == 0:
            print(f"{type(learner).__name__}, step {step}: loss {losses / _REPORT_EVERY:.3f}", flush=True)
            losses = 0.0
