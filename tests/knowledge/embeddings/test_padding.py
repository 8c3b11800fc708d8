"""Facts of several texts side by side."""

import numpy as np
import torch

from vkood.knowledge.embeddings.padding import pad_facts


def test_every_vector_lies_with_its_text():
    vectors = np.arange(12, dtype=np.float32).reshape(6, 2)
    padded = pad_facts(vectors, [2, 0, 3, 1])
    features, mask = padded["fact_features"], padded["fact_mask"]
    assert features.shape == (4, 3, 2)
    assert mask.sum(1).tolist() == [2, 0, 3, 1]
    assert torch.equal(features[mask], torch.from_numpy(vectors))
    assert not features[~mask].any()


def test_no_facts_at_all():
    padded = pad_facts(np.zeros((0, 5), np.float32), [0, 0])
    assert padded["fact_features"].shape == (2, 0, 5)
    assert padded["fact_mask"].shape == (2, 0)
