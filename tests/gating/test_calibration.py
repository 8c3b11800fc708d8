"""Split-conformal thresholds: coverage on exchangeable data, groups, too few scores, and what is reported."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from support.sets import batch, layer_of
from vkood.gating import Calibration, CalibrationWarning, KernelGate
from vkood.gating.calibration import ALL, smallest_count
from vkood.gating.gate import Gate


@pytest.mark.parametrize(("count", "keep"), [(50, 0.9), (199, 0.95), (30, 0.5)])
def test_coverage_is_as_promised_over_draws(count, keep):
    """The mean coverage of split-conformal thresholds lies between keep and keep + 1 / (n + 1)."""
    generator = torch.Generator().manual_seed(0)
    coverages = []
    for _ in range(200):
        scores = torch.randn(count + 500, generator=generator).exp()  # of whatever distribution
        calibration = Calibration.of(scores[:count], keep)
        assert calibration.guaranteed
        coverages.append(float(calibration.keeps(scores[count:]).float().mean()))
    coverage = torch.tensor(coverages)
    error = 4 * float(coverage.std()) / math.sqrt(200)
    assert keep - error <= float(coverage.mean()) <= keep + 1 / (count + 1) + error


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    scores=st.lists(st.floats(-1e6, 1e6, width=32) | st.just(torch.inf), min_size=1, max_size=60),
    keep_rate=st.floats(0.01, 0.95),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
@pytest.mark.filterwarnings("ignore::vkood.gating.CalibrationWarning")
def test_the_threshold_is_the_score_of_the_promised_rank(scores, keep_rate, dtype):
    values = torch.tensor(scores, dtype=dtype)
    values = values + (0.1 if dtype == torch.float64 else 0.0)  # not representable in single precision
    finite = values[torch.isfinite(values)].sort().values
    gate = Gate(threshold=0.0, temperature=1.0, mode="hard")
    if not len(finite):
        with pytest.raises(ValueError, match="`scores` must hold at least one finite score"):
            gate.calibrate(values, keep_rate)
        return
    calibration = gate.calibrate(values, keep_rate)
    rank = min(len(finite), max(1, math.ceil((len(finite) + 1) * keep_rate - 1e-9)))
    assert calibration.threshold == float(finite[rank - 1])
    kept = gate(values[None])[1][0].bool()
    assert kept[values <= calibration.threshold].all()
    assert not kept[values > calibration.threshold + 1e-6 * abs(calibration.threshold) + 1e-6].any()


@pytest.mark.parametrize(
    "make", [layer_of, lambda: KernelGate(6, 5, 4)], ids=["outlier layer", "kernel gate"]
)
def test_a_layer_keeps_what_it_was_calibrated_to_keep(make):
    layer, (facts, image) = make(), batch(candidates=20, rows=10)
    mask = torch.ones(10, 20, dtype=torch.bool)
    mask[:, 15:] = False
    for keep, kept in ((0.9, 136), (0.95, 144)):  # ranks ceil(151 keep) of 150
        calibration = layer.calibrate(layer(facts, context=image, candidate_mask=mask).score, keep_rate=keep)
        assert calibration.counts == {ALL: 150}
        gate = layer(facts, context=image, candidate_mask=mask).gate
        assert int((gate >= 0.5).sum()) == kept


def test_groups_have_thresholds_of_their_own():
    scores = torch.cat([torch.arange(99.0), 1000 + torch.arange(99.0)]).view(2, 99)
    groups = torch.tensor([[0] * 99, [3] * 99])
    calibration = Calibration.of(scores, 0.9, groups=groups)
    assert calibration.thresholds == {0: 89.0, 3: 1089.0}
    assert calibration.guaranteed
    kept = calibration.keeps(torch.tensor([50.0, 95.0, 1050.0, 1e6]), torch.tensor([0, 0, 3, 7]))
    assert kept.tolist() == [True, False, True, True]  # nothing is known of group 7
    with pytest.raises(ValueError, match="a threshold for each group"):
        _ = calibration.threshold
    with pytest.raises(ValueError, match="`groups` must be given"):
        calibration.keeps(scores)
    with pytest.raises(ValueError, match="`groups` must not be given"):
        Calibration.of(scores).keeps(scores, groups)
    report = calibration.report(scores, torch.ones(2, 99, dtype=torch.bool), groups)
    assert report.coverage_of_groups == {0: 90 / 99, 3: 90 / 99}


@pytest.mark.parametrize(("count", "keep"), [(18, 0.95), (8, 0.9), (500, 1.0)])
def test_too_few_scores_say_that_nothing_is_promised(count, keep):
    scores = torch.arange(float(count))
    with pytest.warns(CalibrationWarning, match=f"{count} scores cannot promise to keep {keep:.4g}"):
        calibration = Calibration.of(scores, keep)
    assert calibration.threshold == count - 1
    assert not calibration.guaranteed
    if keep < 1:
        assert smallest_count(keep) == count + 1
        assert Calibration.of(torch.arange(count + 1.0), keep).guaranteed
    with pytest.warns(CalibrationWarning, match="in the groups 4"):
        Calibration.of(scores, 1.0, groups=torch.full((count,), 4))


def test_a_report_counts_what_is_kept():
    calibration = Calibration.of(torch.arange(99.0), 0.9)
    scores = torch.tensor([[1.0, 95.0, 50.0, torch.inf], [2.0, 3.0, 99.0, 98.0]])
    belongs = torch.tensor([[True, True, False, True], [True, True, False, False]])
    report = calibration.report(scores, belongs)
    assert (report.coverage, report.let_through) == (3 / 4, 1 / 3)
    assert report.kept_per_query == [2, 2]
    assert report.mean_kept == 2.0
    assert str(report) == (
        "keeps 75.0% of the candidates that belong (90.0% promised) and 33.3% of the others, 2.0 a query"
    )
    nothing = calibration.report(scores[:, 3:], belongs[:, :1] & False)
    assert math.isnan(nothing.coverage)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("scores", "options", "words"),
    [
        (torch.zeros(0), {}, "`scores` must hold at least one finite score"),
        (torch.full((3,), torch.nan), {}, "`scores` must be numbers"),
        (torch.zeros(3), {"keep_rate": 0.0}, "`keep_rate`"),
        (torch.zeros(3), {"groups": torch.zeros(2, dtype=torch.long)}, "`groups` must hold a whole number"),
        (torch.zeros(3), {"groups": torch.tensor([0.0, 1.0, 2.0])}, "`groups` must hold a whole number"),
        (torch.zeros(3), {"groups": torch.tensor([True, False, True])}, "`groups` must hold a whole number"),
        (torch.zeros(3, dtype=torch.cfloat), {}, "`scores` must be real numbers"),
        (torch.zeros(3), {"groups": torch.tensor([0, -1, 2])}, "`groups` must hold a whole number"),
        (torch.tensor([0.0, torch.inf]), {"groups": torch.tensor([0, 4])}, "each group .*; 4 has none"),
    ],
)
def test_errors_name_the_argument(scores, options, words):
    with pytest.raises(ValueError, match=words):
        Calibration.of(scores, **options)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("groups", [torch.tensor([0.4, 1.4, 0.0]), torch.tensor([0]), torch.tensor([0, 1])])
def test_groups_of_another_kind_are_refused_when_candidates_are_kept(groups):
    # a number between two groups, of neither, would keep everything
    scores = torch.arange(40.0)
    calibration = Calibration.of(scores, 0.9, groups=torch.arange(40) % 2)
    with pytest.raises(ValueError, match="`groups` must hold a whole number"):
        calibration.keeps(scores[:3], groups)


@pytest.mark.usefixtures("unchecked")
def test_scores_of_every_type_are_kept_alike():
    calibration = Calibration.of(torch.arange(99) * 1e4, 0.9)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.long):
        assert calibration.keeps(torch.tensor([-5, 0, 60_000]).to(dtype)).all()
    assert not calibration.keeps(torch.tensor([torch.inf], dtype=torch.float16)).any()
    with pytest.raises(TypeError, match="`scores` must be of type Tensor"):
        calibration.keeps([1.0])


def test_scores_with_a_graph_are_calibrated_on_without_a_warning():
    facts, image = batch()
    with pytest.warns(CalibrationWarning) as record:
        layer = layer_of()
        layer.calibrate(layer(facts, image).score)
    assert [warning.category for warning in record] == [CalibrationWarning]
