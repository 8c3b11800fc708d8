"""What every test and every doctest starts from: no network, few threads, the same seed, an empty cache.

It stands above `src` and `tests`, so that it serves the doctests too. It must not import vkood: pytest's
import hook checks the shapes of those modules only that are imported after it.
"""

import os

# Read by the libraries when they are imported, hence before that.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
# Triton's kernels run on the CPU, one operation after another.
os.environ["TRITON_INTERPRET"] = "1"

import random

import numpy as np
import pytest
import torch

# Doctests import what they look through; the frameworks of these modules need not be installed.
collect_ignore_glob = ["src/vkood/integrations/*.py", "src/vkood/app/page.py", "src/vkood/app/server.py"]

torch.set_num_threads(min(2, torch.get_num_threads()))


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Neither read nor fill the user's cache."""
    os.environ["VKOOD_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Seed all generators, so that no test depends on which tests ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
