"""The numbers of the reference implementations, in `tests/data/oracles`, whose README says what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).resolve().parents[1] / "data" / "oracles"


def numbers(name: str) -> dict[str, Tensor]:
    """The arrays of a file; whole numbers as indices."""
    with np.load(FOLDER / name) as arrays:
        tensors = {key: arrays[key] for key in arrays if arrays[key].dtype.kind in "fi"}
    return {
        key: torch.from_numpy(array.astype(np.int64) if array.dtype.kind == "i" else array)
        for key, array in tensors.items()
    }


def name_table(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a full-size checkpoint."""
    lines = (FOLDER / "names" / f"{name}.tsv").read_text().splitlines()
    rows = [line.split("\t") for line in lines if line and not line.startswith(("#", "name\t"))]
    return {row[0]: tuple(int(side) for side in row[1].split(",") if side) for row in rows}
