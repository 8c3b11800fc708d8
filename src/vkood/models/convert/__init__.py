"""The door for checkpoints of the peers: METER's, VK-OOD's and BLIP's files become models of ours.

reading.py opens a file without running what is in it, meter.py and blip.py know each format's names, report.py tells
what became of every key, door.py joins them.
"""

from vkood.models.convert.door import load_checkpoint
from vkood.models.convert.reading import CheckpointError
from vkood.models.convert.report import CheckpointReport, KeyReport

__all__ = ["CheckpointError", "CheckpointReport", "KeyReport", "load_checkpoint"]
