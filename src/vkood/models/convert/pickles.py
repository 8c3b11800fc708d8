"""Looking through the pickle of a checkpoint before it is loaded: what it names, and how much it would make.

`torch.load(weights_only=True)` runs no foreign code, but a few bytes can still make it build gigabytes, or hang: huge
tensors over a tiny storage, containers that are copied again and again, tuples nested so deeply that hashing one
overflows the stack. So the pickle is first followed here, instruction by instruction, with sizes in place of contents.
"""

from __future__ import annotations

import io
import math
import pickletools
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING  # as torch.load maps names of Python 2
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

_MAX_DEPTH = 500
_MAX_NAME_LENGTH = 300
_MAX_NAMES = 500
_ITEM_BYTES = {
    "DoubleStorage": 8,
    "FloatStorage": 4,
    "HalfStorage": 2,
    "BFloat16Storage": 2,
    "LongStorage": 8,
    "IntStorage": 4,
    "ShortStorage": 2,
    "CharStorage": 1,
    "ByteStorage": 1,
    "BoolStorage": 1,
    "UntypedStorage": 1,
    "ComplexFloatStorage": 8,
    "ComplexDoubleStorage": 16,
}
_TENSORS = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor")
# What a checkpoint of tensors and plain values calls; all else that would be called is refused.
CALLABLE = (
    *_TENSORS,
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch.Size",
    "torch.device",
    "collections.OrderedDict",
    "collections.Counter",
    "builtins.set",
    "_codecs.encode",
)


class PickleRefused(ValueError):
    """A pickle would call something, or make more than a checkpoint needs."""


class NotReadable(ValueError):
    """A pickle that `torch.save` did not write, or a damaged one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a checkpoint may have.

    Args:
        num_bytes: Bytes of a pickle, which has about 200 for each tensor.
        num_instructions: Instructions of its pickles.
        num_copied: Items that the pickles copy from one container to another.
        num_entries: Entries of a zip archive.
    """

    num_bytes: int = 64 * 2**20
    num_instructions: int = 1_000_000
    num_copied: int = 2_000_000
    num_entries: int = 200_000

    def require_bytes(self, size: int) -> None:
        """Refuse a pickle of more bytes.

        Raises:
            PickleRefused: If it has more.
        """
        if size > self.num_bytes:
            raise PickleRefused(f"its pickle has more than {self.num_bytes // 2**20} MiB")


@dataclass
class Names:
    """The names in a pickle.

    Args:
        named: Full names of classes and functions.
        filled: Those whose instances are filled as dictionaries are.
    """

    named: set[str] = field(default_factory=set)
    filled: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Value:
    """The object that an instruction would make: its depth, its number of items, and the instruction."""

    depth: int = 1
    size: int = 0
    by: str = ""
    items: tuple[Any, ...] | None = None


class _Bounded:
    """A file of which no more bytes can be read than a pickle may have."""

    def __init__(self, file: BinaryIO | io.BytesIO, limits: Limits) -> None:
        self._file, self._limits, self._num_read = file, limits, 0

    def _take(self, data: bytes) -> bytes:
        self._num_read += len(data)
        self._limits.require_bytes(self._num_read)
        return data

    def read(self, size: int) -> bytes:
        return self._take(self._file.read(min(size, self._limits.num_bytes - self._num_read + 1)))

    def readline(self) -> bytes:
        return self._take(self._file.readline(_MAX_NAME_LENGTH))


class Inspection:
    """Follows the pickles of one checkpoint.

    Args:
        storage_bytes: The file's number of bytes for a storage of a name; None if it has none of that name.
        file_bytes: The file's number of bytes.
        limits: How much the pickles may have.
    """

    def __init__(self, storage_bytes: Callable[[str], int | None], file_bytes: int, limits: Limits) -> None:
        self.names = Names()
        self._storage_bytes, self._file_bytes, self._limits = storage_bytes, file_bytes, limits
        self._steps = self._copied = 0

    def follow(self, file: BinaryIO | io.BytesIO) -> None:
        """Follow the pickle that begins at the place where a file stands, which ends up behind it.

        Raises:
            PickleRefused: If loading it would call something or make more than a checkpoint needs.
            NotReadable: If it is damaged, or not what `torch.save` writes.
        """
        machine = _Machine(self)
        for name, argument in _instructions(_Bounded(file, self._limits)):
            self._steps += 1
            if self._steps > self._limits.num_instructions:
                raise PickleRefused(
                    f"its pickle has more than {self._limits.num_instructions:,} instructions"
                )
            try:
                machine.step(name, argument)
            except (IndexError, KeyError):
                raise NotReadable("its pickle is damaged") from None

    def add_name(self, argument: str) -> str:
        """Note a name of a class or function; returns it in full."""
        module, _, short = argument.partition(" ")
        if (module, short) in NAME_MAPPING:
            module, short = NAME_MAPPING[module, short]
        else:
            module = IMPORT_MAPPING.get(module, module)
        name = f"{module}.{short}"
        if len(name) > _MAX_NAME_LENGTH:
            raise PickleRefused(f"it names something of {len(name)} letters, {name[:40]}...")
        self.names.named.add(name)
        if len(self.names.named) > _MAX_NAMES:
            raise PickleRefused(f"it names more than {_MAX_NAMES} classes and functions")
        return name

    def copy(self, size: int) -> None:
        """Count items that are copied from one container to another."""
        self._copied += size
        if self._copied > self._limits.num_copied:
            raise PickleRefused("it copies containers again and again, and would fill the memory")

    def storage(self, items: tuple[Any, ...]) -> int:
        """How many values a storage has, as the pickle states it."""
        kind, key, size = items[1], items[2], items[4]
        item_bytes = _ITEM_BYTES.get(kind.by.rpartition(".")[2]) if isinstance(kind, _Value) else None
        if item_bytes is None or not isinstance(key, str) or not isinstance(size, int):
            raise PickleRefused("it has a storage of a kind that checkpoints do not have")
        stored = self._storage_bytes(key)
        if stored is None:
            raise NotReadable(f"it has no values for the storage {key[:20]!r}")
        if not 0 <= size * item_bytes <= stored:
            raise NotReadable(
                f"it is truncated or damaged: the storage {key[:20]!r} claims {size:,} values, more than there are"
            )
        return size

    def tensor(self, items: tuple[Any, ...]) -> None:
        """Check that a tensor lies within its storage, and is not far larger."""
        parts: list[Any] = [
            part.items if isinstance(part, _Value) and part.items is not None else part for part in items[:4]
        ]
        storage, offset, size, stride = parts
        if not isinstance(storage, _Value) or storage.by != "storage":
            raise PickleRefused("it has a tensor without a storage")
        shaped = isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride)
        if not shaped or not all(
            isinstance(part, int) and 0 <= part < 2**62 for part in (offset, *size, *stride)
        ):
            raise PickleRefused("it has a tensor whose shape is not whole numbers")
        values = math.prod(size)
        last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
        if values and last >= storage.size:
            raise PickleRefused(
                f"it has a tensor of the shape {_short(size)} that reaches beyond its storage"
            )
        if values > max(storage.size, self._file_bytes):
            raise PickleRefused(
                f"it has a tensor of the shape {_short(size)} over a storage of {storage.size:,} values"
            )


class _Machine:
    """The stack of an unpickler, with sizes in place of contents."""

    def __init__(self, inspection: Inspection) -> None:
        self._inspection = inspection
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Follow one instruction."""
        if name in _PUSHES:
            self._stack.append(argument if name != "NONE" else None)
        elif name in _EMPTY:
            self._stack.append(_Value(items=() if name == "EMPTY_TUPLE" else None, by=name))
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = self._stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self._stack.append(self._memo[argument])
        elif name == "MARK":
            self._marks.append(self._stack)
            self._stack = []
        elif name == "GLOBAL":
            self._stack.append(_Value(by=self._inspection.add_name(argument)))
        elif name in _TUPLES:
            items = (
                self._pop_mark()
                if name == "TUPLE"
                else [self._stack.pop() for _ in range(_TUPLES[name])][::-1]
            )
            self._stack.append(_nested(_Value(size=len(items), items=tuple(items)), items))
        elif name in ("APPEND", "SETITEM"):
            items = [self._stack.pop() for _ in range(1 if name == "APPEND" else 2)]
            self._fill(items, name)
        elif name in ("APPENDS", "SETITEMS"):
            self._fill(self._pop_mark(), name)
        elif name == "BINPERSID":
            items = self._stack.pop().items
            self._stack.append(_Value(size=self._inspection.storage(items), by="storage"))
        elif name in ("REDUCE", "NEWOBJ"):
            self._call(name)
        elif name == "BUILD":
            state = self._stack.pop()
            self._inspection.copy(state.size if isinstance(state, _Value) else 1)
            self._stack[-1] = _nested(self._stack[-1], [state])
        elif name not in ("PROTO", "STOP"):
            raise NotReadable("it is not what `torch.save` writes")

    def _pop_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._marks.pop()
        return items

    def _fill(self, items: list[Any], name: str) -> None:
        container = self._stack[-1]
        if not isinstance(container, _Value):
            raise NotReadable("its pickle is damaged")
        container.size += len(items)
        if container.by.startswith("instance of ") and name.startswith("SET"):
            self._inspection.names.filled.add(container.by.removeprefix("instance of "))
        _nested(container, items)

    def _call(self, name: str) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if not isinstance(function, _Value) or not isinstance(arguments, _Value) or arguments.items is None:
            raise NotReadable("its pickle is damaged")
        if name == "NEWOBJ":
            self._stack.append(_nested(_Value(by=f"instance of {function.by}"), [arguments]))
            return
        if function.by not in CALLABLE:
            raise PickleRefused(f"it would call {function.by}, and may hold harmful code")
        if function.by in _TENSORS:
            self._inspection.tensor(arguments.items)
            self._stack.append(_Value(by="tensor"))
            return
        size = sum(
            item.size if isinstance(item, _Value) else len(item) if isinstance(item, str | bytes) else 1
            for item in arguments.items
        )
        self._inspection.copy(size)
        self._stack.append(_nested(_Value(size=size), [arguments]))


_PUSHES = frozenset(
    {
        "NONE",
        "NEWTRUE",
        "NEWFALSE",
        "BININT",
        "BININT1",
        "BININT2",
        "BINFLOAT",
        "BINUNICODE",
        "SHORT_BINSTRING",
        "LONG1",
    }
)
_EMPTY = frozenset({"EMPTY_TUPLE", "EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET"})
_TUPLES = {"TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def _instructions(file: _Bounded) -> Iterator[tuple[str, Any]]:
    try:
        for opcode, argument, _ in pickletools.genops(file):  # pyright: ignore[reportArgumentType] - has what is needed
            yield opcode.name, argument
    except PickleRefused:
        raise
    except (ValueError, EOFError, UnicodeDecodeError) as error:
        if "GLOBAL" in str(error) or "newline" in str(error):
            raise PickleRefused(f"it names something of more than {_MAX_NAME_LENGTH} letters") from None
        raise NotReadable("it is not one, is truncated, or is damaged") from None


def _nested(container: Any, items: list[Any]) -> Any:
    """What holds these items, nested one deeper than the deepest of them."""
    if isinstance(container, _Value):
        container.depth = max(
            [container.depth, *(item.depth + 1 for item in items if isinstance(item, _Value))]
        )
        if container.depth > _MAX_DEPTH:
            raise PickleRefused(f"it is nested more than {_MAX_DEPTH} deep")
    return container


def _short(shape: tuple[int, ...]) -> str:
    text = str(shape)
    return text if len(text) <= 60 else f"{text[:57]}..."
