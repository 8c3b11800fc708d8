"""Image files named by rows: read from their folder alone, and decoded once to check that they are complete."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from vkood.data.readers.source import BadRows
from vkood.data.record import Mismatch
from vkood.files import FileProblem, read_bytes
from vkood.images import MAX_BYTES, ImageProblem, decode_image


@dataclass
class Pictures:
    """Reads picture files.

    A name in a file may not lead out of the folder: no absolute paths, and no `..`. Symbolic links are followed, for a
    name cannot make one: where they lead is up to the folder's owner.

    Args:
        anywhere: Whether names may lead out of the folder; None where the reader has no option for it.
    """

    anywhere: bool | None = None
    _decoded: set[str] = field(default_factory=set, repr=False)

    def place(self, folder: Path, name: str) -> Path:
        """Where the file of a name lies.

        Raises:
            Mismatch: If the name leads out of the folder.
        """
        if not self.anywhere and _leads_out(name):
            raise Mismatch(
                f"the image {name!r} is an absolute path or leads out of the folder of images"
                + ("; `--any-image-path` allows that" if self.anywhere is not None else "")
            )
        return folder / name

    def read(
        self, path: Path, bad: BadRows, file: str | Path, row: int | str | Sequence[int | str]
    ) -> bytes | None:
        """A picture file's content; None, and a bad row, if it is missing or cannot be decoded.

        A file is decoded when it is first read, and not again for further tables.
        """
        key = os.fspath(path)
        try:
            content = read_bytes(path, what="image", max_bytes=MAX_BYTES)
            if key not in self._decoded:
                decode_image(content, name=f"the image {key!r}")
                self._decoded.add(key)
        except (FileProblem, ImageProblem) as error:
            bad.bad(file, row, str(error).rstrip("."))
            return None
        return content

    def read_named(
        self,
        folder: Path,
        name: str,
        bad: BadRows,
        file: str | Path,
        row: int | str | Sequence[int | str],
    ) -> bytes | None:
        """What `read` gives for a name; a name that leads out of the folder is a bad row too."""
        try:
            return self.read(self.place(folder, name), bad, file, row)
        except Mismatch as error:
            bad.bad(file, row, str(error))
            return None


def _leads_out(name: str) -> bool:
    """Whether a name leads out of a folder, on any system."""
    paths = PurePosixPath(name), PureWindowsPath(name)
    return any(path.is_absolute() or path.drive or path.root or ".." in path.parts for path in paths)
