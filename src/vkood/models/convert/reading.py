"""Opening foreign checkpoints: tensors and plain values come in, and nothing of the file is run.

`torch.load(weights_only=True)` refuses files that name a class it does not know, such as those of Lightning 1.3, whose
`callbacks` have a class as key. Here such names become placeholders, which can be named and compared, but not called:
a file that would call one is refused.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor
from typing_extensions import override

_UNKNOWN_NAME = re.compile(r"(?:Unsupported global: GLOBAL |unsupported GLOBAL )(\S+)")
_MOST_NAMES = 100


class CheckpointError(ValueError):
    """A file is no checkpoint that can be read, or not the one that it was taken for."""


class _NotCallable(type):
    """The class of placeholders: calling one would be running the file."""

    @override
    def __call__(cls, *arguments: object, **options: object) -> NoReturn:
        raise CheckpointError(f"it would call {cls.__module__}.{cls.__name__}, and may hold harmful code")


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint that `torch.save` has written.

    Args:
        path: The file.

    Returns:
        What is in it: tensors and plain values. Classes that it names are inert placeholders.

    Raises:
        CheckpointError: If there is no such file, it is no checkpoint or a truncated one, or it would run code.
    """
    path = Path(path)
    name = repr(str(path))
    if not path.is_file():
        raise CheckpointError(
            f"There is no checkpoint at {name}{': that is a folder' if path.is_dir() else ''}."
        )
    try:
        content = _load(path)
    except CheckpointError as error:
        raise CheckpointError(f"{name} is refused: {error}.") from None
    except (pickle.UnpicklingError, EOFError, RuntimeError, ValueError, KeyError, TypeError, IndexError,
            AttributeError, OSError, zipfile.BadZipFile) as error:  # fmt: skip
        raise CheckpointError(
            f"{name} cannot be read as a checkpoint: it is none, is truncated, or is damaged ({_short(error)})."
        ) from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{name} must hold a dictionary, but holds a {type(content).__name__}.")
    return content


def state_dict_of(content: dict[str, Any], key: str) -> dict[str, Tensor]:
    """Return the tensors under a key of a checkpoint.

    Raises:
        CheckpointError: If what is there are not named tensors.
    """
    state = content[key]
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()
    ):
        raise CheckpointError(f"The checkpoint's {key!r} must be named tensors.")
    return state


def _load(path: Path) -> Any:
    """Load, with a placeholder for each unknown name that turns up."""
    placeholders: list[Any] = []
    seen: set[str] = set()
    while True:
        with torch.serialization.safe_globals(placeholders):
            try:
                return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
            except pickle.UnpicklingError as error:
                found = _UNKNOWN_NAME.search(str(error))
                if found is None and "block" not in str(error):
                    raise
                # What comes without a module is one of Python's own functions, such as `eval`.
                if found is None or "." not in found[1] or found[1] in seen or len(seen) == _MOST_NAMES:
                    what = "what is no part of a model" if found is None else found[1]
                    raise CheckpointError(f"it would call {what}, and may hold harmful code") from None
                seen.add(found[1])
                placeholders.append((_placeholder(found[1]), found[1]))


def _placeholder(name: str) -> type:
    module, _, short = name.rpartition(".")
    return _NotCallable(short, (), {"__module__": module, "__setstate__": lambda self, state: None})


def _short(error: BaseException) -> str:
    """The part of an error that tells what is wrong, without advice to load the file all the same."""
    text = str(error).partition("WeightsUnpickler error:")[2] or str(error) or type(error).__name__
    text = text.strip().partition("\n")[0].partition(". ")[0]
    if "weights_only" in text:
        return "not what `torch.save` writes"
    return text if len(text) <= 120 else f"{text[:117]}..."
