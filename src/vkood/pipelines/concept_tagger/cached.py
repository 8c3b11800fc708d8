"""What a tagger says of pictures, kept on disk: computed once, sharded, and resumed where it was interrupted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vkood.files import FileProblem, read_json_object, write_text
from vkood.pipelines.concept_tagger.tagger import ConceptTagger
from vkood.pipelines.concept_tagger.vocabulary import PictureConcepts


class CachedTagger:
    """A tagger whose answers are kept in a folder, in a file for each list of pictures that it is called with.

    The folder is named by the tagger's fingerprint, and a file by the contents of its pictures: of other pictures, or
    under another tagger or store, nothing is taken from there. A file appears when it is complete, so an interrupted
    job that calls with the same lists resumes where it was, and several processes may fill a folder.

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
        """
        digest = hashlib.sha256()
        for image in images:
            digest.update(hashlib.sha256(image).digest())
        path = self._folder / f"{digest.hexdigest()[:32]}.json"
        if path.is_file():
            return _read(path, len(images))
        shown = self._tagger(images)
        self._folder.mkdir(parents=True, exist_ok=True)
        rows = [{"names": picture.names, "concepts": picture.concepts} for picture in shown]
        write_text(path, json.dumps({"pictures": rows}) + "\n")
        return shown


def _read(path: Path, expected: int) -> list[PictureConcepts]:
    try:
        rows: Any = read_json_object(path, what="file of concepts")["pictures"]
        shown = [PictureConcepts(_pairs(row["names"]), _pairs(row["concepts"])) for row in rows]
        if len(shown) != expected:
            raise ValueError(f"it has {len(shown)} pictures, where {expected} are expected")
    except (FileProblem, KeyError, TypeError, ValueError) as error:
        raise FileProblem(
            f"The concepts of pictures in {str(path)!r} are damaged ({error}): delete the file, and they are computed "
            "again."
        ) from None
    return shown


def _pairs(rows: Iterable[Any]) -> tuple[tuple[str, float], ...]:
    return tuple((str(name), float(probability)) for name, probability in rows)
