"""A thin layer over the Hugging Face Trainer: what it is given, and what it tells."""

from vkood.train.fit import StepReport, TrainingOptions, fit

__all__ = ["StepReport", "TrainingOptions", "fit"]
