"""What a text says is absent: phrases of denial, lack, exception and exchange, with the right reading of each."""

from pathlib import Path

import pytest

from vkood.knowledge import FactStore, Linker

TABLE = Path(__file__).with_name("denied_phrases.tsv")
ROWS = [
    line.split("\t")
    for line in TABLE.read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


@pytest.fixture(scope="module")
def readings():
    with FactStore.open() as store:
        linked = Linker(store).link_many(text for text, _ in ROWS)
    return {
        text: "|".join("!" * concept.negated + concept.entry for concept in concepts)
        for (text, _), concepts in zip(ROWS, linked, strict=True)
    }


@pytest.mark.parametrize(("text", "expected"), ROWS, ids=[text for text, _ in ROWS])
def test_reading(readings, text, expected):
    assert readings[text] == expected


def test_there_are_many_of_each():
    denied = [text for text, expected in ROWS if "!" in expected]
    assert len(denied) >= 60 and len(ROWS) - len(denied) >= 20
