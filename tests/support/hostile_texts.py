"""Texts that act on what shows them."""

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
