"""Why a model answers as it does: its answers, the facts that it used, and the parts of the picture that they fit to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from vkood.images import ImageSource, decode_image
from vkood.models.fit_watch import FitWatch
from vkood.pipelines.nesting import nested
from vkood.reporting.explanation import ExplainedFact, Explanation
from vkood.reporting.pictures import side_by_side

