"""The store that comes with vkood: WordNet's nouns, and our own everyday, visual common sense."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def default_store_path() -> Path:
    """Return where the store lies that `FactStore.open()` opens.

    `scripts/build_default_store.py` builds it; WordNet's licence lies beside it.

    Raises:
        FileNotFoundError: If this copy of vkood lacks it, or is not installed as files.

    Example:
        >>> from vkood.knowledge import FactStore
        >>> with FactStore.open() as store:
        ...     store.lookup(["fire hydrant"], relations=["UsedFor"])["fire hydrant"][0].object
        'supplying water to firefighters'
    """
    path = files("vkood.knowledge") / "data" / "default.db"
    if not (isinstance(path, Path) and path.is_file()):
        raise FileNotFoundError(
            "This copy of vkood comes without its fact store; install it from a wheel, or give the path of a store."
        )
    return path
