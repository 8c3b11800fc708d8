"""Checkpoint conversion: METER's, VK-OOD's, BLIP's and UniAdapter's files become models of ours.

reading.py opens a file without running what is in it, once pickles.py has looked through it; contents.py finds the
weights in it; meter.py and blip.py know a family's names, uniadapter.py and transformers_blip.py what BLIP's may have;
plan.py fills the model, report.py lists what became of every key, checkpoint.py joins them.
"""

from vkood.models.convert.checkpoint import load_checkpoint
from vkood.models.convert.reading import CheckpointError
from vkood.models.convert.report import CheckpointReport, KeyReport

__all__ = ["CheckpointError", "CheckpointReport", "KeyReport", "load_checkpoint"]
