"""Concepts of pictures in tables, and the facts that are looked up for them."""

import io
import json
from dataclasses import dataclass

import pytest
from PIL import Image

from support import prepared
from support.tiny_picture_models import save_classifier
from vkood.data.concepts import RowConcepts, read_picture_captions
from vkood.data.prepare import prepare, read_source
from vkood.data.readers import BadRowsError, SourceError
from vkood.data.tables import find_tables, sentences_of
from vkood.pipelines.concept_tagger import ConceptTagger
from vkood.pipelines.concept_tagger.cached import CachedTagger


@dataclass(frozen=True)
class Shown:
    concepts: tuple[tuple[str, float], ...]


class EvenOdd:
    """Sees an umbrella in every other picture, and a violin in the rest."""

    fingerprint = "even and odd"

    def __init__(self) -> None:
        self.pictures: list[bytes] = []

    def __call__(self, images):
        shown = []
        for image in images:
            Image.open(io.BytesIO(image)).load()
            name = "umbrella" if len(self.pictures) % 2 else "violin"
            shown.append(Shown(((name, 0.75), ("thing", 0.5))))
            self.pictures.append(image)
        return shown


def test_tables_have_what_pictures_show_and_facts_of_it(tmp_path):
    source = read_source("vqav2", prepared.raw("vqav2"))
    tagger = EvenOdd()
    prepare(source, tmp_path, tagger=tagger, max_facts=5_000)
    row_number = 0
    for table in find_tables(tmp_path, ["*"]):
        assert table.metadata["tagger"] == "even and odd"
        sentences = sentences_of(table)
        for row in table.scan(["concepts", "concept_probabilities", "fact_ids"]):
            concept = row["concepts"][0]
            assert row["concepts"][1:] == ["thing"]
            assert row["concept_probabilities"] == [0.75, 0.5]
            for facts in row["fact_ids"]:
                assert any(concept in sentences[fact] for fact in facts)
            row_number += 1
    assert row_number == len(tagger.pictures) > 2  # each once


def test_without_a_tagger_tables_are_as_ever(tmp_path):
    prepare(read_source("vqav2", prepared.raw("vqav2")), tmp_path)
    for table in find_tables(tmp_path, ["*"]):
        assert "concepts" not in table.columns
        assert "tagger" not in table.metadata


def test_of_two_pictures_a_concept_has_its_largest_probability(tmp_path):
    concepts = RowConcepts(EvenOdd())
    file = io.BytesIO()
    Image.new("RGB", (1, 1)).save(file, "PNG")
    rows = [{"image_0": file.getvalue(), "image_1": file.getvalue()}] * 2
    assert concepts.of(rows, "pairs") == [(("violin", 0.75), ("umbrella", 0.75), ("thing", 0.5))] * 2


def test_an_interrupted_preparation_resumes(tmp_path):
    folder = save_classifier(tmp_path / "model", ["umbrella", "violin"])
    source = read_source("nlvr2", prepared.raw("nlvr2"))
    calls = []

    class Counted(ConceptTagger):
        def __call__(self, images, /):
            calls.append(len(images))
            return super().__call__(images)

    tagger = CachedTagger(Counted.from_pretrained(folder), tmp_path / "kept")

    def stop(table, done, total):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(source, tmp_path / "tables", tagger=tagger, on_rows=stop)
    assert len(calls) == 1
    assert not (tmp_path / "tables").exists()
    prepare(source, tmp_path / "tables", tagger=tagger)
    first = len(calls)
    prepare(source, tmp_path / "others", tagger=tagger, max_facts=3)
    assert len(calls) == first  # all was kept
    other = CachedTagger(Counted.from_pretrained(folder, temperature=2.0), tmp_path / "kept")
    prepare(source, tmp_path / "tables", tagger=other)
    assert len(calls) == 2 * first  # but not for another tagger
    assert {table.metadata["tagger"] for table in find_tables(tmp_path / "tables", ["*"])} == {
        other.fingerprint
    }


def test_descriptions_bring_facts(tmp_path):
    source = read_source("vqav2", prepared.raw("vqav2"))
    prepare(source, tmp_path / "without", max_facts=5)
    ids = {
        row["image_id"]
        for table in find_tables(tmp_path / "without", ["*"])
        for row in table.scan(["image_id"])
    }
    prepare(
        source,
        tmp_path / "with",
        max_facts=200,
        captions={number: ["A violin on a chair."] for number in ids},
    )
    for table in find_tables(tmp_path / "with", ["*"]):
        sentences = sentences_of(table)
        for row in table.scan(["fact_ids"]):
            assert all(any("violin" in sentences[fact] for fact in facts) for facts in row["fact_ids"])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("coco", {"tagger": EvenOdd()}, "whether the two belong together is what is asked"),
        ("coco", {"captions": {1: ["a dog"]}}, "must not depend on their own pictures"),
        ("nlvr2", {"captions": {1: ["a dog"]}}, "pairs of pictures without an `image_id`"),
    ],
)
def test_concepts_are_refused_where_they_do_not_belong(tmp_path, name, options, message):
    with pytest.raises(SourceError, match=message):
        prepare(read_source(name, prepared.raw(name)), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_captions_are_read_in_two_forms(tmp_path):
    coco, lines = tmp_path / "captions.json", tmp_path / "captions.jsonl"
    coco.write_text(json.dumps({"annotations": [{"image_id": 1, "caption": c} for c in ("a", "b")]}))
    lines.write_text('{"image_id": 1, "captions": ["a"]}\n{"image_id": 1, "caption": "b"}\n')
    assert read_picture_captions(coco) == read_picture_captions(lines) == {1: ["a", "b"]}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", '{"annotations": []}', "has no records in 'annotations'"),
        ("a.json", '{"annotations": [{"caption": "a"}]}', "it lacks `image_id`"),
        ("a.json", '{"annotations": [{"image_id": 1}]}', "has no captions"),
        ("a.jsonl", '{"image_id": 1, "caption": 3}', "line 1: `caption` must be a text"),
        ("a.jsonl", "no json", "line 1: it is not JSON"),
    ],
)
def test_files_without_captions_are_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises((SourceError, BadRowsError), match=message):
        read_picture_captions(tmp_path / name)
