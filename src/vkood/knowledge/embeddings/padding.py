"""The vectors of several texts' facts side by side, as models take them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def pad_facts(vectors: Float[np.ndarray, "facts dim"], counts: Sequence[int]) -> dict[str, Tensor]:
    """Pad the vectors of every text's facts with zeros to those of the text that has most.

    Args:
        vectors: (facts, dim) the vectors of the first text's facts, then those of the second's, and so on.
        counts: Number of facts of each text.

    Returns:
        `fact_features`, (texts, most facts, dim), and `fact_mask`, (texts, most facts), true where there is a fact.

    Example:
        >>> pad_facts(np.ones((3, 1), np.float32), [1, 2])["fact_mask"]
        tensor([[ True, False],
                [ True,  True]])
    """
    mask = torch.arange(max(counts, default=0)) < torch.tensor(counts, dtype=torch.long)[:, None]
    features = torch.zeros(*mask.shape, vectors.shape[1])
    features[mask] = torch.from_numpy(np.array(vectors, dtype=np.float32))
    return {"fact_features": features, "fact_mask": mask}
