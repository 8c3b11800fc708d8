"""What a tagger says of pictures, kept on disk: each is tagged once, whatever tables it is in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vkood.files import FileProblem, read_json_object, write_text
from vkood.knowledge.embeddings.vector_cache import unwritable
from vkood.pipelines.concept_tagger.tagger import ConceptTagger
from vkood.pipelines.concept_tagger.vocabulary import PictureConcepts
from vkood.pipelines.encoding import advised_cache


class CachedTagger:
    """A tagger whose answers are kept in a folder, in a file for each picture.

    The folder is named by the tagger's fingerprint, and a file by its picture's content: of another picture, or under
    another tagger or store, nothing is taken from there. A file appears when it is complete, so an interrupted job
    resumes where it was, and several processes may fill a folder.

    Args:
        tagger: The tagger.
        folder: Where answers of all taggers are kept.
    """

    def __init__(self, tagger: ConceptTagger, folder: str | Path) -> None:
        self._tagger = tagger
        self.names: Sequence[str] = tagger.names
        self.fingerprint: str = tagger.fingerprint
        self._folder = Path(folder) / tagger.fingerprint

    def __call__(self, images: Sequence[bytes], /) -> list[PictureConcepts]:
        """What pictures show, by the contents of their files.

        Raises:
            ValueError: A picture is none.
            FileProblem: A file of the folder is damaged.
            UnwritableCacheError: The folder cannot be written to.
        """
        paths = [self._path(image) for image in images]
        shown = {path: _read(path) for path in dict.fromkeys(paths) if path.is_file()}
        new = {path: image for path, image in zip(paths, images, strict=True) if path not in shown}
        if new:
            shown |= zip(new, self._tagger(list(new.values())), strict=True)
            self._keep({path: shown[path] for path in new})
        return [shown[path] for path in paths]

    def _keep(self, shown: dict[Path, PictureConcepts]) -> None:
        with advised_cache():
            try:
                for path, picture in shown.items():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_text(
                        path, json.dumps({"names": picture.names, "concepts": picture.concepts}) + "\n"
                    )
            except OSError as error:
                raise unwritable(self._folder, error, "Concepts of pictures") from error

    def _path(self, image: bytes) -> Path:
        digest = hashlib.sha256(image).hexdigest()[:32]
        return self._folder / digest[:2] / f"{digest[2:]}.json"


def _read(path: Path) -> PictureConcepts:
    try:
        row: Any = read_json_object(path, what="file of concepts")
        return PictureConcepts(_pairs(row["names"]), _pairs(row["concepts"]))
    except (FileProblem, KeyError, TypeError, ValueError) as error:
        raise FileProblem(
            f"The concepts of a picture in {str(path)!r} are damaged ({error}): delete the file, and they are computed "
            "again."
        ) from None


def _pairs(rows: Iterable[Any]) -> tuple[tuple[str, float], ...]:
    return tuple((str(name), float(probability)) for name, probability in rows)
