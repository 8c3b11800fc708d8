"""Gates on learnt projections: where they begin, and that they learn."""

import pytest
import torch
from benchmarks.real import learnt_gates
from benchmarks.real.labelled_photographs import Candidates, Material
from benchmarks.real.tables import tables
from benchmarks.real.tags import Tags
from benchmarks.real.untrained_gates import ARMS

from vkood.metrics import auroc

WIDTH = 5


def material() -> Material:
    names, facts = torch.nn.functional.normalize(torch.randn(2, 8, WIDTH), dim=-1)
    tags = Tags(torch.arange(8).view(4, 2), torch.tensor([[0.7, 0.3]]).expand(4, 2))
    outlier = torch.tensor([[False, False, True, True]]).expand(4, 4)
    drawn = Candidates(torch.randint(8, (4, 4)), torch.ones(4, 4).bool(), outlier)
    return Material([], tags, drawn, names, {}, facts)


@pytest.mark.parametrize("shared", [True, False])
def test_aligned_projections_begin_as_the_encoder_and_learn(
    shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learnt_gates, "JOINT_DIM", WIDTH)  # all directions: no cosine changes
    photographs, arm = material(), ARMS[0]
    gate = learnt_gates.LearntGate(
        arm, 10.0, photographs.concept_vectors, learnt_gates.Start(shared=shared, aligned=True)
    )
    own = arm.make(10.0)(
        photographs.facts, photographs.tokens, photographs.weights(learnt_gates.WEIGHT_POWER)
    )
    begin = gate.scores(photographs)
    torch.testing.assert_close(begin, own, rtol=1e-4, atol=1e-4)
    gate.learn(photographs, rate=0.03, steps=[60])
    outlier = photographs.candidates.outlier.flatten()
    before, after = (
        auroc(scores.detach().flatten(), outlier) for scores in (begin, gate.scores(photographs))
    )
    assert after > before + 0.1


def test_the_table_has_means_and_bounds_over_the_halvings() -> None:
    def halving(within: float) -> dict[str, object]:
        unseen = {"within": 0.5, "pooled": 0.6}
        return {"a": {"seen": {"within": within, "pooled": 0.9}, "unseen": unseen}}

    (table,) = tables({"splits": [halving(0.7), halving(0.8)]}).values()
    assert "2 halvings" in table.title
    assert table.rows == [
        ["a", "0.750 (0.700-0.800)", "0.900 (0.900-0.900)", "0.500 (0.500-0.500)", "0.600 (0.600-0.600)"]
    ]
