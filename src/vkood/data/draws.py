"""Random draws that depend on a seed, an epoch and an index alone, so that runs repeat."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from vkood.data.easy_vqa import Split

_SPLIT_CODES = {"train": 0, "test": 1}
_JOB_CODES = {"knowledge": 0, "plain": 1, "choice": 2}


class Draws:
    """The randomness of a dataset's examples, and the epoch that it is in.

    In "train" every epoch has its own draws; in "test" all epochs have the same. The epoch lies in shared
    memory, so the workers of a loader see it change, even those that outlive an epoch.

    Args:
        job: What is drawn; jobs with the same seed do not share draws.
        split: "train" or "test".
        seed: The seed, from 0.

    Raises:
        ValueError: If `seed` is not an integer from 0 up.

    Example:
        >>> draws = Draws("plain", "train", seed=0)
        >>> first = draws.generator(5).random()
        >>> draws.set_epoch(1)
        >>> draws.generator(5).random() == first
        False
    """

    def __init__(self, job: Literal["knowledge", "plain", "choice"], split: Split, seed: int) -> None:
        if not isinstance(seed, int) or seed < 0:
            raise ValueError(f"`seed` must be an integer from 0 up; got {seed!r}.")
        self._key = (seed, _JOB_CODES[job], _SPLIT_CODES[split])
        self._fixed = split == "test"
        self._epoch = torch.zeros(1, dtype=torch.long).share_memory_()

    @property
    def epoch(self) -> int:
        """The epoch whose draws are shown: always 0 in "test"."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Go to another epoch; without effect in "test".

        Raises:
            ValueError: If `epoch` is negative.
        """
        if epoch < 0:
            raise ValueError(f"`epoch` must be an integer from 0 up; got {epoch!r}.")
        if not self._fixed:
            self._epoch.fill_(epoch)

    def generator(self, index: int) -> np.random.Generator:
        """Return the source of randomness of example `index` in this epoch."""
        return np.random.default_rng((*self._key, self.epoch, index))
