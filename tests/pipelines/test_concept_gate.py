"""Scores of facts by a picture's concepts are those of the docstring."""

import pytest
import torch
from torch.nn import functional

from vkood.pipelines.concept_gate import KAPPA, WEIGHT_POWER, ConceptGate


@pytest.mark.parametrize("kappa", [KAPPA, 5.0])
def test_scores_are_those_of_the_docstring(kappa):
    """-log sum_k pi_k exp(kappa <mu_k, y>) + log mean_c exp(kappa <x_c, y>), with what the layer fits."""
    vectors = functional.normalize(torch.randn(9, 5), dim=-1)
    names, facts = vectors[:6], vectors[6:]
    probabilities = torch.tensor([0.64, 0.36])
    gate = ConceptGate(names, kappa)
    usual = -torch.logsumexp(kappa * facts @ names.T, -1) + torch.tensor(6.0).log()
    torch.testing.assert_close(gate.usual_scores(facts), usual)
    scores = gate.scores(facts[None], names[None, :2], probabilities[None])[0]

    weights = probabilities**WEIGHT_POWER / (probabilities**WEIGHT_POWER).sum()
    fitted = gate.layer(facts[None], context=names[None, :2], context_mask=weights[None]).mixture
    assert fitted.mean.shape == (1, 4, 5)
    own = -torch.logsumexp(fitted.log_weight[0] + kappa * facts @ fitted.mean[0].T, -1)
    torch.testing.assert_close(scores, own - usual)
    again = gate.scores(facts[None], names[None, :2], probabilities[None], usual[None])[0]
    torch.testing.assert_close(again, scores)


def test_no_picture_depends_on_another():
    names = functional.normalize(torch.randn(20, 8), dim=-1)
    facts = functional.normalize(torch.randn(3, 4, 8), dim=-1)
    probabilities = torch.rand(3, 5)
    gate = ConceptGate(names)
    concepts = names[torch.arange(15).view(3, 5)]
    together = gate.scores(facts, concepts, probabilities)
    for row in range(3):
        alone = gate.scores(facts[row : row + 1], concepts[row : row + 1], probabilities[row : row + 1])
        torch.testing.assert_close(alone[0], together[row])
