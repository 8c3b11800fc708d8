"""What an evaluation keeps and counts."""

import pytest
import torch

from support.tiny_vqa import HashedFacts, tiny_config, tiny_tokenizer
from vkood.data import EasyVqaKnowledge, FactTable, VqaCollator, VqaDataset
from vkood.models import VkoodForVisualQuestionAnswering
from vkood.tasks import Evaluation, evaluate_vqa
from vkood.tasks.saved import answer_ids


def test_numbers():
    evaluation = Evaluation(
        predicted=torch.tensor([1, 2, 3, 4]),
        labels=torch.tensor([1, 2, 3, 0]),
        fact_scores=torch.tensor([0.1, 0.4, 0.3, 0.9]),
        fact_matches=torch.tensor([True, True, False, False]),
    )
    assert evaluation.accuracy == 0.75
    assert evaluation.filter_auroc == 0.75
    assert evaluation.filter_fpr95 == 0.5


@pytest.fixture(scope="module")
def dataset():
    return VqaDataset(EasyVqaKnowledge("test", 0, size=9))


@pytest.fixture
def model():
    return VkoodForVisualQuestionAnswering(tiny_config()).train()


def test_batches_change_nothing(model, dataset):
    table = FactTable.build(dataset.sentences(), HashedFacts())
    collate = VqaCollator(tiny_tokenizer(), table, answer_ids(model.config), with_matches=True)
    told = []
    found = evaluate_vqa(model, dataset, collate, batch_size=4, on_rows=told.append)
    again = evaluate_vqa(model, dataset, collate, batch_size=9)
    assert not model.training
    assert told == [4, 4, 1]
    assert torch.equal(found.predicted, again.predicted)
    assert found.labels.tolist() == [answer_ids(model.config)[dataset[index].answer] for index in range(9)]
    assert torch.equal(found.fact_matches, again.fact_matches)
    assert int(found.fact_matches.sum()) == 18
    torch.testing.assert_close(found.fact_scores, again.fact_scores, atol=1e-4, rtol=1e-3)


def test_without_matches_no_scores_are_kept(model, dataset):
    table = FactTable.build(dataset.sentences(), HashedFacts())
    found = evaluate_vqa(model, dataset, VqaCollator(tiny_tokenizer(), table, answer_ids(model.config)))
    assert found.fact_scores.shape == found.fact_matches.shape == (0,)
    with pytest.raises(ValueError, match="outliers and inliers"):
        _ = found.filter_auroc
