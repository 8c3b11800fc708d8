"""Autocast switched off, where half precision would lose what is computed."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """A context in which nothing on this device is cast to half precision; the meta device knows no autocast.

    Example:
        >>> vectors = torch.ones(2, 2)
        >>> with torch.autocast("cpu"), full_precision(vectors.device):
        ...     print((vectors @ vectors).dtype)
        torch.float32
    """
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)
