"""Against the definitions, counted pair by pair and threshold by threshold."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vkood.metrics import OutlierScores, auroc, false_positive_rate

FEW_VALUES = st.integers(0, 5).map(float)  # so that there are ties


def both_kinds(flags):
    return any(flags) and not all(flags)


ITEMS = st.lists(st.tuples(FEW_VALUES, st.booleans()), min_size=2, max_size=30).filter(
    lambda items: both_kinds([outlier for _, outlier in items])
)


def tensors(items):
    return torch.tensor([score for score, _ in items]), torch.tensor([outlier for _, outlier in items])


@settings(max_examples=100, deadline=None)
@given(ITEMS)
def test_auroc_counts_pairs(items):
    score, outlier = tensors(items)
    above = (score[outlier][:, None] > score[~outlier]).double()
    level = (score[outlier][:, None] == score[~outlier]).double()
    assert auroc(score, outlier) == pytest.approx(float((above + level / 2).mean()))


@settings(max_examples=100, deadline=None)
@given(ITEMS, st.sampled_from([0.5, 0.9, 0.95, 1.0]))
def test_false_positives_at_the_strictest_threshold_that_keeps_enough(items, keep_rate):
    score, outlier = tensors(items)
    for threshold in sorted(set(score.tolist())):
        if float((score[~outlier] <= threshold).double().mean()) >= keep_rate - 1e-9:
            passed = float((score[outlier] <= threshold).double().mean())
            assert false_positive_rate(score, outlier, keep_rate=keep_rate) == pytest.approx(passed)
            return
    raise AssertionError("the highest threshold keeps all")


def test_perfect_and_reversed_scores():
    outlier = torch.arange(40) >= 20
    score = torch.arange(40.0)
    assert (auroc(score, outlier), false_positive_rate(score, outlier)) == (1.0, 0.0)
    assert (auroc(-score, outlier), false_positive_rate(-score, outlier)) == (0.0, 1.0)


@pytest.mark.parametrize("outlier", [[True, True], [False, False]])
def test_one_kind_alone_is_refused(outlier):
    for metric in (auroc, false_positive_rate):
        with pytest.raises(ValueError, match="outliers and inliers; got only one kind"):
            metric(torch.zeros(2), torch.tensor(outlier))


@pytest.mark.usefixtures("unchecked")
def test_scores_that_are_no_numbers_are_refused():
    outlier = torch.tensor([True, False, True])
    for value in (torch.nan, torch.inf, -torch.inf):
        score = torch.tensor([0.1, value, 0.3])
        for metric in (auroc, false_positive_rate):
            with pytest.raises(ValueError, match="`score` must be finite"):
                metric(score, outlier)
    for wrong in (outlier.long(), outlier[:2], outlier[None]):
        with pytest.raises(ValueError, match="`outlier` must be boolean"):
            false_positive_rate(torch.zeros(3), wrong)
    for keep_rate in (0.0, 1.5, torch.nan, True):
        with pytest.raises(ValueError, match="`keep_rate` must be a finite number above 0 to 1"):
            false_positive_rate(torch.tensor([0.1, 0.2, 0.3]), outlier, keep_rate=keep_rate)
    with pytest.raises(TypeError, match="`score` must be of type Tensor"):
        auroc([0.1, 0.2, 0.3], outlier)
    half = torch.tensor([0.5, 0.25, 0.75], dtype=torch.bfloat16, requires_grad=True)
    assert auroc(half, outlier) == 1.0


def test_accumulators_of_ranks_become_one():
    outlier = torch.arange(9) % 3 == 0
    score = torch.arange(9.0) % 5
    whole, parts = OutlierScores(), [OutlierScores(), OutlierScores()]
    whole.add(score, outlier)
    parts[0].add(score[:2], outlier[:2])
    parts[1].add(score[2:], outlier[2:])
    parts[0].merge(parts[1])
    expected = {"auroc": auroc(score, outlier), "fpr95": false_positive_rate(score, outlier)}
    assert parts[0].result() == whole.result() == expected


def test_one_kind_alone_gives_no_numbers():
    scores = OutlierScores()
    assert scores.result() == {}
    scores.add(torch.zeros(2), torch.tensor([True, True]))
    assert scores.result() == {}
