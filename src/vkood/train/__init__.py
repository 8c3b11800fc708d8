"""A thin layer over the Hugging Face Trainer: its options, and what it reports.

The public names are imported when they are first used: a run's options are checked without loading PyTorch.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vkood.train.fitting import StepReport, TrainingOptions, fit

__all__ = ["StepReport", "TrainingOptions", "fit"]


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for, and keep it."""
    if name in __all__:
        value: object = getattr(importlib.import_module("vkood.train.fitting"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'vkood.train' has no attribute {name!r}")
