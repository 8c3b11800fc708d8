"""Public names of a package that are imported when they are first used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence


def lazy_getattr(
    package: str, offered: Mapping[str, Sequence[str]], rooms: Sequence[str] = ()
) -> Callable[[str], object]:
    """The `__getattr__` of a package whose public names are imported when they are first used, and then kept.

    Args:
        package: The package's name.
        offered: For each of its modules, by its name within the package, the public names that are defined there.
        rooms: Modules that are public themselves.

    Returns:
        A function from a name to its value. For a name that is not public it raises `AttributeError`, with the nearest
        public one.

    Example:
        >>> import vkood
        >>> vkood.OutlierLayr
        Traceback (most recent call last):
        AttributeError: module 'vkood' has no attribute 'OutlierLayr'; did you mean 'OutlierLayer'?
    """
    module_of = {name: module for module, names in offered.items() for name in names}

    def getattr_(name: str) -> object:
        if name in rooms:
            return importlib.import_module(f"{package}.{name}")
        if name in module_of:
            value: object = getattr(importlib.import_module(f"{package}.{module_of[name]}"), name)
            setattr(sys.modules[package], name, value)
            return value
        hint = ""
        if not name.startswith("_"):
            from vkood.spelling import nearest

            public = sorted((*module_of, *rooms))
            hint = "".join(f"; did you mean {near!r}?" for near in nearest(name, public, cutoff=0.75)[:1])
        raise AttributeError(f"module {package!r} has no attribute {name!r}{hint}")

    return getattr_
