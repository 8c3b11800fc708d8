"""Pages show foreign text as it is written, and miss nothing."""

import unicodedata

import pytest
from jinja2 import UndefinedError

from support.hostile_texts import HOSTILE
from vkood.reporting.pages import format_number, render


@pytest.fixture(name="template")
def _template(tmp_path):
    path = tmp_path / "page.html.jinja"
    path.write_text('<p title="{{ text }}">{{ text }}</p>')
    return path


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_any_text_is_escaped(template, text):
    page = render(template, {"text": text})
    assert type(page) is str  # not one that escapes what is added to it
    shown = page.removeprefix('<p title="').removesuffix("</p>").partition('">')[2]
    assert page == f'<p title="{shown}">{shown}</p>'
    assert shown.encode()
    assert not set("<>\"'") & set(shown)
    assert shown.count("\n") == text.count("\n")
    assert not {unicodedata.category(character) for character in shown} & {"Cf", "Cs", "Zl", "Zp"}


def test_a_missing_value_is_an_error(template):
    with pytest.raises(UndefinedError, match="'text' is undefined"):
        render(template, {})


@pytest.mark.parametrize(("value", "shown"), [(1234, "1,234"), (0.12345, "0.1235"), (98765.4, "9.877e+04")])
def test_numbers(value, shown):
    assert format_number(value) == shown
