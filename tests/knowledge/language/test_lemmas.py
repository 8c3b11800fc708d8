"""Forms of words: singulars and back, -ing forms, articles; and what linking must not load."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vkood.knowledge.language.lemmas import article, gerund, is_plural, plural, singulars, third_person

TABLE = """
dog/dogs box/boxes bus/buses glass/glasses berry/berries cookie/cookies movie/movies knife/knives
leaf/leaves wolf/wolves glove/gloves potato/potatoes shoe/shoes man/men woman/women fireman/firemen
human/humans child/children grandchild/grandchildren person/people foot/feet tooth/teeth goose/geese
mouse/mice ox/oxen sheep/sheep horse/horses vase/vases brush/brushes peach/peaches
headache/headaches axe/axes ski/skis taxi/taxis emu/emus cactus/cacti key/keys toy/toys canoe/canoes
corps/corps testis/testes
"""
PLURALS = TABLE.split()


@pytest.mark.parametrize(("singular", "plural_form"), [pair.split("/") for pair in PLURALS])
def test_plurals_and_back(singular, plural_form):
    assert plural(singular) == plural_form
    assert singulars(plural_form)[0] == singular or (
        singular in singulars(plural_form) and singulars(plural_form)[0] not in PLURALS
    )
    assert singulars(singular)[0] == singular
    assert is_plural(plural_form) == (singular != plural_form)


@given(st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=10))
def test_any_word_has_forms(word):
    assert word in (singulars(word)[0], singulars(word)[-1])
    assert gerund(word).endswith("ing")
    assert third_person(word)
    assert article(word) in ("a", "an")


@pytest.mark.parametrize(
    "word", ["hour", "honest", "egg", "umbrella", "unimportant", "x-ray", "8-ball", "uncle", "owl"]
)
def test_an(word):
    assert article(word) == "an"


@pytest.mark.parametrize(
    "word",
    ["unicorn", "uniform", "use", "european", "one-way", "u-turn", "horse", "ukulele", "year"],
)
def test_a(word):
    assert article(word) == "a"


def test_nothing_heavy_is_loaded_to_link():
    program = (
        "import sys; from vkood.knowledge import Fact, Linker; Linker().link('a dog'); Fact('a', 'IsA', 'b').sentence;"
        "print(*({'torch', 'spacy', 'duckdb', 'pyarrow', 'numpy'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
