"""Shared by all tests."""

import os
from collections.abc import Iterator

import jaxtyping
import pytest
import torch
from hypothesis import settings

# The processes of tests share the cores, and so do those that they start.
if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A busy machine fails no test: what is to be fast is counted elsewhere.
settings.register_profile("vkood", deadline=None)
settings.load_profile("vkood")


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Without the checks of shapes at run time, which would come before our own errors: as users have it."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)
