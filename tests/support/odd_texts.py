"""Texts as they come from the web: odd writings with the concepts in them, and long runs without a word."""

import pytest

from vkood.knowledge.linking.query import MAX_CHARACTERS

WRITINGS = [
    ("a t v on a wall", [("tv", "t v"), ("wall", "wall")]),
    ("two t v s and a T.V.", [("tv", "t v s"), ("tv", "T.V")]),
    ("u s a", [("usa", "u s a")]),
    ("a U.S.A. flag", [("usa", "U.S.A"), ("flag", "flag")]),
    ("a 1 0 0 bill", [("bill", "bill")]),
    ("isn t a dog", [("dog", "dog")]),
    ("\u200fdog\u200e on a \u202abed\u202c", [("dog", "dog"), ("bed", "bed")]),
    ("a pin\u0303ata, a pi\u00f1ata", [("pinata", "pin\u0303ata"), ("pinata", "pi\u00f1ata")]),
    ("\uff23\uff41\uff54", [("cat", "\uff23\uff41\uff54")]),
    ("\ufb01re hy\u00addrant", [("fire hydrant", "\ufb01re hy\u00addrant")]),
    (
        "a fi\u200bre truck\u2060 and\ufeff a d\u200dog",
        [("fire truck", "fi\u200bre truck"), ("dog", "d\u200dog")],
    ),
    ("the dog\u02bcs tail", [("dog", "dog"), ("tail", "tail")]),
    ("two dogs\u00b4 tails", [("dog", "dogs"), ("tail", "tails")]),
    ("spin\u0308al", []),
    ("a \u0303dog", [("dog", "dog")]),
    (
        "\U0001d41d\U0001d428\U0001d420 and\u3000a\u00a0cat",
        [("dog", "\U0001d41d\U0001d428\U0001d420"), ("cat", "cat")],
    ),
    ("a\0dog", [("dog", "dog")]),
    ("\ud800 no dog \udcff", [("dog", "dog")]),
    ("a pi\udcc3\udcb1ata, a cat", [("pinata", "pi\udcc3\udcb1ata"), ("cat", "cat")]),
    ("\U0001f469\u200d\U0001f467 with a dog\ufe0f", [("dog", "dog")]),
]
"""Texts, with the entries in them and how each is written there."""

LONG_TEXTS = [
    pytest.param("(" * MAX_CHARACTERS, id="brackets"),
    pytest.param("http://" * 4_000, id="addresses"),
    pytest.param("\U0001f600" * MAX_CHARACTERS, id="emoji"),
    pytest.param("a" + "\u0315\u0300" * 49_999, id="marks"),
    pytest.param("\u732b" * MAX_CHARACTERS, id="Chinese"),
]
