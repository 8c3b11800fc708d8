"""Why a model answers as it does: its answers, the facts that it used, and where the components of the fit lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vkood.images import ImageSource, decode_image
from vkood.knowledge import LinkedFact
from vkood.models.explainable import Explainable
from vkood.models.fit_watch import FitWatch
from vkood.reporting.explanation import ExplainedFact, Explanation
from vkood.reporting.pictures import side_by_side


def require_pictures(sources: Sequence[ImageSource], count: int) -> list[Image.Image]:
    """Decode the pictures of an example.

    Args:
        sources: The pictures.
        count: How many the model takes.

    Raises:
        ValueError: If there are too few or too many, or one of them is bad.
    """
    if len(sources) != count:
        expected = "one picture" if count == 1 else f"a list of {count} pictures"
        raise ValueError(f"`image` must be {expected} for this model; got {len(sources)}.")
    names = ["image"] if count == 1 else [f"image[{number}]" for number in range(count)]
    return [decode_image(source, name=name) for source, name in zip(sources, names, strict=True)]


@torch.no_grad()
def explain_batch(
    model: Explainable,
    batch: Mapping[str, Tensor],
    *,
    text: str,
    pictures: Sequence[Image.Image],
    facts: Sequence[LinkedFact],
    tokenizer: Any,
) -> Explanation:
    """Run a model on one example, and record what its answer depends on.

    Args:
        model: The model; it is left in the mode, training or evaluation, that it is in.
        batch: The example, as the model takes it.
        text: Its text.
        pictures: Its pictures.
        facts: Its facts, in the order of `batch["fact_features"]`.
        tokenizer: The text tower's.

    Raises:
        ValueError: If the model has no head to answer with.
    """
    device, was_training = model.device, model.training
    model.eval()
    try:
        with FitWatch(model.base_model) as watch:
            output, answers = model.ranked_answers(
                {name: tensor.to(device) for name, tensor in batch.items()}, tokenizer
            )
    finally:
        model.train(was_training)
    maps = watch.maps(len(pictures))
    return Explanation(
        text=text,
        picture=side_by_side(pictures),
        answers=answers,
        facts=_explained(facts, output),
        patches=None if maps is None else maps.patches[0],
        component_weights=None if maps is None else maps.weights[0],
        num_pictures=len(pictures),
    )


def _explained(facts: Sequence[LinkedFact], output: Any) -> list[ExplainedFact]:
    """The facts with their gates, the widest first; without a gate all are open."""
    if not facts or output.fact_gate is None:
        return [ExplainedFact(fact, 1.0, 0.0) for fact in facts]
    explained = [
        ExplainedFact(fact, float(gate), float(score))
        for fact, gate, score in zip(facts, output.fact_gate[0], output.fact_score[0], strict=False)
    ]
    return sorted(explained, key=lambda fact: fact.gate, reverse=True)
