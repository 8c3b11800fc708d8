"""Our models and processor, known to the Auto classes of `transformers` as soon as both packages are imported."""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import ModuleType
from typing import Any

_AUTO_CLASSES = "transformers.models.auto.configuration_auto"
"""Every Auto class imports this module."""
_REGISTERS = "vkood.pipelines.processor"
"""Importing this module, and the models below it, registers them."""


def register_with_transformers() -> None:
    """Register now if the Auto classes are loaded, or else when they are: until then it costs nothing."""
    if _AUTO_CLASSES in sys.modules:
        importlib.import_module(_REGISTERS)
    else:
        sys.meta_path.insert(0, _AfterAutoClasses())


class _AfterAutoClasses:
    """A finder that finds nothing itself: it registers once the Auto classes are loaded, and leaves.

    Modules of `transformers` import one another, and ours import them. Registration waits until none of them is in the
    middle of its import, since it needs them whole.
    """

    def __init__(self) -> None:
        self._in_progress: set[str] = set()

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Find a module of `transformers` or ours as the other finders do, and watch its import."""
        if name.partition(".")[0] not in ("transformers", "vkood"):
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            self._watch(spec.loader, name)
        return spec

    def _watch(self, loader: SourceFileLoader, name: str) -> None:
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            self._in_progress.add(name)
            try:
                execute(module)
            finally:
                self._in_progress.discard(name)
            if not self._in_progress and _AUTO_CLASSES in sys.modules and self in sys.meta_path:
                sys.meta_path.remove(self)
                importlib.import_module(_REGISTERS)

        loader.exec_module = exec_module  # each module has a loader of its own
