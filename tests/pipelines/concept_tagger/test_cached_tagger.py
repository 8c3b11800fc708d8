"""Answers of taggers on disk."""

import io
import json

import pytest
from PIL import Image

from support.small_store import SmallStore
from vkood import ConceptTagger
from vkood.files import FileProblem
from vkood.knowledge.embeddings.vector_cache import UnwritableCacheError
from vkood.pipelines.concept_tagger.cached import CachedTagger


class Describer:
    """Describes pictures by their width, until it has to stop."""

    def __init__(self) -> None:
        self.pictures, self.left = 0, 100

    def __call__(self, pictures):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        self.pictures += len(pictures)
        return [["a dog" if picture.width == 1 else "a cat"] for picture in pictures]


def content(width: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, 1)).save(file, "PNG")
    return file.getvalue()


BATCHES = [[content(1), content(2)], [content(2)], [content(3), content(1)]]


class Store(SmallStore):
    @property
    def content_hash(self) -> str:
        return repr(sorted(self.entries))


STORE = Store("dog", "cat")


@pytest.fixture
def describer() -> Describer:
    return Describer()


def cached(describer, folder, store=STORE) -> CachedTagger:
    return CachedTagger(ConceptTagger.from_captioner(describer, store, fingerprint="widths"), folder)


def test_every_picture_is_tagged_once_whatever_lists_it_is_in(describer, tmp_path):
    tagger = cached(describer, tmp_path)
    first = [tagger(batch) for batch in BATCHES]
    assert describer.pictures == 3
    assert first[0][0].concepts[0] == ("dog", 1.0)
    assert [cached(describer, tmp_path)(batch) for batch in BATCHES] == first
    [dog, cat], [cat_alone], [_, dog_again] = first
    assert cached(describer, tmp_path)([content(2), content(1), content(2)]) == [cat, dog, cat]
    assert (dog_again, cat_alone) == (dog, cat)
    assert describer.pictures == 3
    assert tagger([]) == []


def test_an_interrupted_job_resumes(describer, tmp_path):
    describer.left = 1
    with pytest.raises(KeyboardInterrupt):
        [cached(describer, tmp_path)(batch) for batch in BATCHES]
    describer.left = 1
    assert len([cached(describer, tmp_path)(batch) for batch in BATCHES]) == 3


def test_a_changed_store_is_asked_again(describer, tmp_path):
    cached(describer, tmp_path)(BATCHES[0])
    [first, _] = cached(describer, tmp_path, Store("cat"))(BATCHES[0])
    assert first.concepts == ()
    assert describer.pictures == 4


def test_a_damaged_file_is_named(describer, tmp_path):
    cached(describer, tmp_path)(BATCHES[0][:1])
    [path] = tmp_path.glob("*/*/*.json")
    for damaged in ("{", "{}", json.dumps({"names": []}), json.dumps({"names": [1], "concepts": []})):
        path.write_text(damaged)
        with pytest.raises(FileProblem, match=r"are damaged .* delete the file"):
            cached(describer, tmp_path)(BATCHES[0])


def test_a_folder_that_cannot_be_written_to_is_named_with_what_chooses_another(describer, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnwritableCacheError, match=r"^Concepts of pictures could not .* VKOOD_CACHE"):
        cached(describer, tmp_path / "file")(BATCHES[0])
