"""Foreign text in terminals and on pages."""

import unicodedata

import pytest

from vkood.escaping import html_text, printable

HOSTILE = {
    "markup": "[/b][link=https://example.org]x[/link]",
    "element": "<script>alert('x')</script>",
    "attribute": "\" onerror='x",
    "escape": "a\x1b[2J\x1b]0;title\x07b",
    "direction": "a\u202ecod.exe\u2066\u200f",
    "lines": "a\nb\r\x0bc\u2028d\x85e",
    "surrogate": "a\ud800b\udcff",
    "zero": "a\x00b",
}


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


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_html_text(text):
    shown = html_text(text)
    assert shown.encode()
    assert not set("<>\"'") & set(shown)
    assert shown.count("\n") == text.count("\n")
