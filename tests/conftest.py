"""Shared by all tests."""

from collections.abc import Iterator

import jaxtyping
import pytest
from hypothesis import settings

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
