"""`vkood train` where accelerate shards weights over processes on the CPU, which it does for devices alone.

accelerate is made to treat the CPU as one; all else, from wrapping to checkpoints, is what happens on GPUs.
"""

from __future__ import annotations

import sys
from typing import Any

from accelerate.state import PartialState
from accelerate.utils import DistributedType

from vkood.recipes.resolve import resolve
from vkood.train.training import train

_begin = PartialState.__init__


def _as_a_device(self: Any, *arguments: Any, **options: Any) -> None:
    _begin(self, *arguments, **options)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_XPU


if __name__ == "__main__":
    PartialState.__init__ = _as_a_device
    recipe, *words = sys.argv[1:]
    train(resolve(recipe, words))
