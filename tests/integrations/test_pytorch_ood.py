"""Where torchvision's compiled part does not load, `support.torchvision_operators` says how to run this."""

# pyright: reportMissingImports=false

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

pytest.importorskip("pytorch_ood", reason="needs the extra `pytorch-ood`", exc_type=ImportError)

from pytorch_ood.api import ModelNotSetException, RequiresFittingException
from pytorch_ood.detector import Mahalanobis
from pytorch_ood.metrics import OODMetrics
from scipy.stats import spearmanr

from vkood import Full, OutlierDetector, Prior, Spherical, Tied
from vkood.integrations.pytorch_ood import MixtureDetector

CENTRES = 4.0 * torch.eye(4, 8, dtype=torch.float64)
STRETCH = torch.linspace(0.5, 1.5, 8, dtype=torch.float64)
WEAK = Prior(variance_strength=1e-6, mean_strength=1e-6)


def samples(count, seed, outlying=False):
    """Features of four classes, or of between and beyond them, and their classes."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % 4
    noise = torch.randn(count, 8, generator=generator, dtype=torch.float64) * STRETCH
    if outlying:
        return (2.0 * noise + 1.5).float(), torch.full_like(y, -1)
    return (CENTRES[y] + noise).float(), y


def metrics(detector):
    """pytorch-ood's own metrics of samples that the detector has not seen."""
    collected = OODMetrics()
    for outlying in (False, True):
        x, y = samples(400, seed=1, outlying=outlying)
        collected.update(detector.predict_features(x), y)
    return collected.compute()


def test_as_good_as_mahalanobis_where_that_is_right():
    train = samples(800, seed=0)
    ours = MixtureDetector(None, Tied(), random_state=0).fit_features(*train)
    theirs = Mahalanobis(None).fit_features(*train)
    assert ours.detector.num_components == 4
    got, expected = metrics(ours), metrics(theirs)
    assert expected["AUROC"] > 0.9
    for name in ("AUROC", "AUPR-IN", "AUPR-OUT", "FPR95TPR"):
        assert got[name] == pytest.approx(expected[name], abs=0.03), name


def test_one_class_is_ranked_as_by_mahalanobis():
    x, _ = samples(400, seed=0)
    y = torch.zeros(len(x), dtype=torch.long)
    ours = MixtureDetector(None, Full(), prior=WEAK).fit_features(x, y)
    theirs = Mahalanobis(None).fit_features(x, y)
    further, _ = samples(200, seed=1, outlying=True)
    ranks = spearmanr(ours.predict_features(further), theirs.predict_features(further))
    assert ranks.statistic > 0.9999


def test_samples_without_a_class_are_left_out():
    x, y = samples(200, seed=0)
    outliers, negative = samples(50, seed=1, outlying=True)
    detector = MixtureDetector(None, Spherical(), random_state=0)
    detector.fit_features(torch.cat([x, outliers]), torch.cat([y, negative]))
    alone = OutlierDetector(Spherical(), num_components=4, random_state=0).fit(x.double().numpy())
    scores = detector.predict_features(outliers)
    np.testing.assert_allclose(scores, -alone.score_samples(outliers.double().numpy()), rtol=1e-6)
    with pytest.raises(ValueError, match="all are negative"):
        detector.fit_features(outliers, negative)


def test_inputs_by_an_encoder():
    encoder = nn.Sequential(nn.Unflatten(1, (8, 1, 1)), nn.Conv2d(8, 5, 1)).requires_grad_(False)
    x, y = samples(100, seed=0)
    detector = MixtureDetector(encoder, num_components=2, random_state=0)
    assert detector.fit(DataLoader(TensorDataset(x, y), batch_size=32)) is detector
    by_features = MixtureDetector(None, num_components=2, random_state=0)
    by_features.fit_features(encoder(x).flatten(1), y)
    scores = detector(x)
    assert scores.shape == (100,)
    torch.testing.assert_close(scores, by_features.predict_features(encoder(x).flatten(1)))


def test_half_precision():
    x, y = samples(100, seed=0)
    detector = MixtureDetector(None, num_components=1).fit_features(x.bfloat16(), y)
    assert detector.predict_features(x.bfloat16()).dtype == torch.float32


def test_what_is_missing_is_said():
    x, y = samples(8, seed=0)
    with pytest.raises(RequiresFittingException):
        MixtureDetector(None).predict_features(x)
    with pytest.raises(ModelNotSetException):
        MixtureDetector(None).predict(x)
    with pytest.raises(ModelNotSetException):
        MixtureDetector(None).fit(DataLoader(TensorDataset(x, y)))


def test_example_of_the_docs(capsys):
    page = (Path(__file__).parents[2] / "docs" / "frameworks.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    exec(compile(block, "frameworks.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines == re.findall(r"^    (\w+ +AUROC .*)$", page, flags=re.MULTILINE)
