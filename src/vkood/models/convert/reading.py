"""Opening foreign checkpoints: tensors and plain values come in, and nothing of the file is run.

`torch.load(weights_only=True)` refuses files that name a class it does not know, such as those of Lightning 1.3, whose
`callbacks` have a class as key. Here such names become placeholders, which can be named and compared, but not called:
a file that would call one is refused, and so is one that would take far more memory than it has bytes.
"""

from __future__ import annotations

import io
import os
import pickle
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from typing_extensions import override

from vkood.files import FileProblem, MissingFile, open_regular
from vkood.models.convert.pickles import Inspection, Limits, Names, NotReadable, PickleRefused

_LIMITS = Limits()
_LEGACY_PICKLES = 4
"""How many pickles the format before zip archives begins with: a magic number, a version, the machine, the content."""
_HEAD_BYTES = 512
# What is no checkpoint, by how it begins.
_OTHERS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself: fetch that with `git lfs pull`"),
    (
        b"<!doctype html",
        "a web page, as download servers send it in place of a file: download the file again",
    ),
    (b"<html", "a web page, as download servers send it in place of a file: download the file again"),
    (b"<?xml", "an XML page, as storage servers send it in place of a file: download the file again"),
    (b"<error", "an XML page, as storage servers send it in place of a file: download the file again"),
    (b"\x1f\x8b", "compressed by gzip: decompress it first"),
    (b"bzh", "compressed by bzip2: decompress it first"),
    (b"\xfd7zxz", "compressed by xz: decompress it first"),
    (b"(\xb5/\xfd", "compressed by zstd: decompress it first"),
    (b"\x89hdf", "an HDF5 file, which no family here writes"),
    (b"7z\xbc\xaf", "a 7z archive: unpack it first"),
    (b"rar!", "a RAR archive: unpack it first"),
    (b"gguf", "a GGUF file, which no family here writes"),
    (b"\x93numpy", "a NumPy array, which no family here writes"),
)


class CheckpointError(ValueError):
    """A file is not a readable checkpoint, or of another kind than expected."""


class _NotCallable(type):
    """The class of placeholders: calling one would be running the file."""

    @override
    def __call__(cls, *arguments: object, **options: object) -> NoReturn:
        raise CheckpointError(f"it would call {cls.__module__}.{cls.__name__}, and may hold harmful code")


def read_checkpoint(path: str | Path, *, limits: Limits = _LIMITS) -> dict[str, Any]:
    """Read a checkpoint that `torch.save` has written, or a `.safetensors` file.

    Args:
        path: The file.
        limits: How much its archive and its pickles may have.

    Returns:
        Tensors and plain values, as they are in it. Classes that it names are inert placeholders.

    Raises:
        CheckpointError: If there is no such file, it is no checkpoint or a truncated one, it would run code, or reading
            it would take far more memory than it has bytes.
    """
    path = Path(path)
    name = repr(str(path))
    try:
        with open_regular(path, what="checkpoint") as file:
            content = _load(path, file, limits)
    except MissingFile:
        raise CheckpointError(f"There is no checkpoint at {name}.") from None
    except FileProblem as error:
        raise CheckpointError(str(error)) from None
    except (CheckpointError, PickleRefused) as error:
        raise CheckpointError(f"{name} is refused: {error}.") from None
    except NotReadable as error:
        raise CheckpointError(f"{name} cannot be read as a checkpoint: {error}.") from None
    except (
        pickle.UnpicklingError,
        EOFError,
        RuntimeError,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
        OSError,
        MemoryError,
        OverflowError,
        zipfile.BadZipFile,
        SafetensorError,
    ) as error:
        raise CheckpointError(
            f"{name} cannot be read as a checkpoint: it is not one, is truncated, or is damaged ({_short(error)})."
        ) from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{name} must hold a dictionary, but holds a {type(content).__name__}.")
    return content


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a file of weights alone, as those in the folders of `transformers` are.

    Raises:
        CheckpointError: As for `read_checkpoint`, and if there is anything else than named tensors in it.
    """
    content = read_checkpoint(path)
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(f"{str(path)!r} must hold named tensors alone; {str(name)[:60]!r} is none.")
    return content


def _load(path: Path, file: BinaryIO, limits: Limits) -> Any:
    """Find out what kind of file it is, and read it."""
    head = file.read(_HEAD_BYTES)
    size = os.fstat(file.fileno()).st_size
    if not head:
        raise NotReadable("it is empty")
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for beginning, what in _OTHERS:
        if start.startswith(beginning):
            raise NotReadable(f"it is {what}")
    if head[257:262] == b"ustar":
        raise NotReadable("it is a tar archive: unpack it first")
    file.seek(0)
    if len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < size:
        return _load_safetensors(path)
    if head.startswith(b"PK"):
        names = _inspect_archive(file, size, limits)
        return _load_torch(path, names, in_place=True)
    if head.startswith(b"\x80"):
        inspection = Inspection(lambda _: size, size, limits)
        for _ in range(_LEGACY_PICKLES):
            inspection.follow(file)
        return _load_torch(path, inspection.names, in_place=False)
    raise NotReadable("it is not one, is truncated, or is damaged")


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    with safe_open(path, framework="pt", device="cpu") as stored:
        return {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - it is no dictionary


def _inspect_archive(file: BinaryIO, size: int, limits: Limits) -> Names:
    """Inspect a zip archive as `torch.save` writes it: nothing in it is compressed, or there twice."""
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if len(entries) != len(archive.infolist()) or len(entries) > limits.num_entries:
            raise NotReadable(
                "it has entries of the same name, or far too many, which `torch.save` does not write"
            )
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
            raise NotReadable("its parts are compressed, which `torch.save` does not do")
        if sum(entry.file_size for entry in entries.values()) > size:
            raise NotReadable("its parts are larger than the file")
        if any(name.endswith("/constants.pkl") for name in entries):
            raise NotReadable("it is a TorchScript archive, which holds a program; save the weights alone")
        pickles = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise NotReadable("it is a zip archive, but none that `torch.save` has written")
        folder = pickles[0].removesuffix("data.pkl")
        limits.require_bytes(entries[pickles[0]].file_size)

        def storage_bytes(key: str) -> int | None:
            entry = entries.get(f"{folder}data/{key}")
            return None if entry is None else entry.file_size

        inspection = Inspection(storage_bytes, size, limits)
        inspection.follow(io.BytesIO(archive.read(pickles[0])))
    return inspection.names


def _load_torch(path: Path, names: Names, *, in_place: bool) -> Any:
    """Load with a placeholder for each name that `torch.load` does not know itself, which it looks for first."""
    placeholders: list[Any] = [
        (_placeholder(name, filled=name in names.filled), name) for name in names.named
    ]
    with torch.serialization.safe_globals(placeholders), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pickle protocols, which were looked through
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=in_place)
        except pickle.UnpicklingError as error:
            if "block" in str(error):
                raise PickleRefused(
                    "it names something that is not part of a model, and may hold harmful code"
                ) from None
            raise


def _placeholder(name: str, *, filled: bool) -> type:
    """A class that stands for another: it has instances, but they do nothing.

    Instances that the file fills as dictionaries become dictionaries, such as those of Lightning's `AttributeDict`.
    """
    module, _, short = name.rpartition(".")

    def new(cls: type, *_: object) -> object:
        return OrderedDict() if filled else object.__new__(cls)

    return _NotCallable(
        short, (), {"__module__": module, "__new__": new, "__setstate__": lambda self, state: None}
    )


def _short(error: BaseException) -> str:
    """The part of an error that states what is wrong, without the advice to load the file anyway."""
    text = str(error).partition("WeightsUnpickler error:")[2] or str(error) or type(error).__name__
    text = text.strip().partition("\n")[0].partition(". ")[0]
    if "weights_only" in text:
        return "not what `torch.save` writes"
    return text if len(text) <= 120 else f"{text[:117]}..."
