"""Recall, against METER's and BLIP's own numbers."""

import json

import numpy as np
import pytest
import torch

from support.oracles import FOLDER
from vkood.metrics.reasoning import ReasoningAccuracy
from vkood.metrics.retrieval import recall_at


def test_published_scripts_agree():
    expected = json.loads((FOLDER / "metrics" / "retrieval_recall.json").read_text())
    with np.load(FOLDER / "metrics" / "retrieval_scores.npz") as arrays:
        for case, published in expected.items():
            scores = torch.from_numpy(arrays[f"{case}_scores"])
            place = {int(image): row for row, image in enumerate(arrays[f"{case}_iids"])}
            owners = torch.tensor([place[int(image)] for image in arrays[f"{case}_tiids"]])
            recall = recall_at(scores, owners)
            for k in (1, 5, 10):
                assert recall[f"text_recall@{k}"] == pytest.approx(published["meter"][f"tr_r{k}"], abs=1e-6)
                assert recall[f"image_recall@{k}"] == pytest.approx(published["meter"][f"ir_r{k}"], abs=1e-6)


def test_mistakes():
    scores = torch.zeros(2, 3)
    with pytest.raises(ValueError, match="from 0 to 1; some texts belong to no image"):
        recall_at(scores, torch.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match="every image must have a text"):
        recall_at(scores, torch.tensor([0, 0, 0]))
    with pytest.raises(ValueError, match="`ranks` must be whole numbers from 1 up"):
        recall_at(scores, torch.tensor([0, 1, 1]), ranks=(0,))
    scores[0, 0] = scores[1, 1] = torch.nan  # which ranked first: a recall of 1
    with pytest.raises(ValueError, match="that of image 0 and text 0 is NaN"):
        recall_at(scores, torch.tensor([0, 1, 1]))


def test_cosines_below_zero_count():
    assert recall_at(torch.tensor([[-0.1, -0.9], [-0.8, -0.2]]), torch.tensor([0, 1]), ranks=(1,)) == {
        "text_recall@1": 1.0,
        "image_recall@1": 1.0,
    }


def test_consistency():
    whole, parts = ReasoningAccuracy(), (ReasoningAccuracy(), ReasoningAccuracy())
    for number, (right, identifier) in enumerate(
        ((True, "dev-1-0-0"), (True, "dev-1-1-0"), (True, "dev-1-0-1"), (False, "dev-1-1-1"))
    ):
        whole.add(right, True, identifier)
        parts[number % 2].add(right, True, identifier)
    assert whole.result() == {"accuracy": 0.75, "consistency": 0.5}
    parts[0].merge(parts[1])
    assert parts[0].result() == whole.result()
    with pytest.raises(ValueError, match="split-set-pair-sentence"):
        whole.add(True, True, "dev-1")
    with pytest.raises(ValueError, match="no judgement was counted"):
        ReasoningAccuracy().result()
