"""Foreign text in terminals and plots."""

import unicodedata

import pytest

from support.hostile_texts import HOSTILE
from vkood.escaping import printable


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_printable(text):
    shown = printable(text)
    assert len(shown.splitlines()) == 1
    assert shown.encode()
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert printable(shown) == shown


def test_what_is_harmless_stays():
    for text in (
        "",
        "plain [text] <b>",
        "naïve café ½",
        "猫はどこ",
        "أين القطة؟",
        "👩‍🚀 🏳️‍🌈",
        "می‌خواهم",
        "a\u00a0b",
    ):
        assert printable(text) == text
