"""The report holds all numbers and facts, needs nothing else, and takes no text for HTML."""

import base64
import copy
import io
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from support.html_page import Page
from vkood.demo.report import DemoReport, GalleryFact, GalleryItem, write_report
from vkood.demo.table import print_table

ARMS = ("no_facts", "unfiltered", "filtered")
IRRELEVANT, CONTRADICTING = ("0", "3", "12", "48", "150"), ("6", "12", "24", "48")


def shares(offset, numbers):
    """Numbers that all differ, so that each can be looked for."""
    return {number: round(offset + place / 100, 3) for place, number in enumerate(numbers)}


RESULTS = {
    "seed": 17,
    "quick": False,
    "seconds": 612.0,
    "peak_rss_mb": 2410.0,
    "versions": {"vkood": "0.1.0", "torch": "2.13.0+cpu"},
    "num_questions": {"easy_vqa": 9673, "knowledge": 888},
    "easy_vqa": {"accuracy": 0.983, "by_arm": {"no_facts": 0.981, "unfiltered": 0.982, "filtered": 0.983}},
    "knowledge": {
        arm: {
            "irrelevant": shares(0.101 + 0.3 * place, IRRELEVANT),
            "contradicting": shares(0.201 + 0.3 * place, CONTRADICTING),
        }
        for place, arm in enumerate(ARMS)
    },
    "filter": {
        kind: {
            number: {"auroc": 0.9871 - place / 100, "fpr95": 0.0312} for place, number in enumerate(numbers)
        }
        for kind, numbers in (("irrelevant", IRRELEVANT), ("contradicting", CONTRADICTING))
    },
    "training": {arm: {"steps": 1500, "seconds": 90.0 + place} for place, arm in enumerate(ARMS)},
}


def item(seed=0, **changes):
    generator = torch.Generator().manual_seed(seed)
    facts = [
        GalleryFact(
            sentence="The puppet is gray.", matches=False, gate=0.021, score=5.5, kind="contradicting"
        ),
        GalleryFact(sentence="The kite is red.", matches=True, gate=0.954, score=-1.25, kind="matching"),
        GalleryFact(sentence="The sled is a circle.", matches=True, gate=0.893, score=-0.75, kind="matching"),
        GalleryFact(sentence="Silk is soft.", matches=False, gate=0.251, score=3.0, kind="irrelevant"),
    ]
    options = {
        "image": torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8, generator=generator),
        "question": "which thing has the colour?",
        "answer": "kite",
        "predictions": {"no_facts": "mug", "unfiltered": "sled", "filtered": "kite"},
        "facts": facts,
    }
    return GalleryItem(**(options | changes))


def demo_report(**changes):
    curves = {arm: [(25, 2.5 - place), (50, 1.25)] for place, arm in enumerate(ARMS)}
    return DemoReport(**({"results": RESULTS, "curves": curves, "gallery": [item(0), item(1)]} | changes))


@pytest.fixture
def write(tmp_path):
    def written(report):
        path = tmp_path / "report.html"
        write_report(report, path)
        assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
        return path.read_text(encoding="utf-8")

    return written


def test_it_holds_every_number_and_fact(write):
    page = Page(write(demo_report()))
    for arm in ARMS:
        for accuracies in RESULTS["knowledge"][arm].values():
            for share in accuracies.values():
                assert f"{share:.3f}" in page.text
        assert f"{RESULTS['easy_vqa']['by_arm'][arm]:.3f}" in page.text
    for shown in ("0.987", "0.031", "9,673", "888", "612", "2,410", "2.13.0+cpu", "17", "1,500"):
        assert shown in page.text
    for fact in item().facts:
        assert page.text.count(fact.sentence) == 2
        assert f"{fact.gate:.3f}" in page.text
        assert f"{fact.score:.2f}" in page.text
    assert page.text.count("which thing has the colour?") == 2


def test_facts_are_sorted_by_gate_and_told_apart(write):
    page = Page(write(demo_report(gallery=[item()])))
    order = sorted(item().facts, key=lambda fact: -fact.gate)
    places = [page.text.index(fact.sentence) for fact in order]
    assert places == sorted(places)
    rows = [attributes["class"] for attributes in page.named("tr") if "class" in attributes]
    assert rows == [fact.kind for fact in order]
    for label in ("✓ agrees, answers", "✓ agrees", "✗ contradicts", "· unrelated"):
        assert label in page.text
    assert page.text.count("agrees, answers") == 1
    assert "mug (wrong)" in page.text
    assert "kite (right)" in page.text
    assert [a["style"] for a in page.named("span") if "style" in a] == [
        "width:95.4%",
        "width:89.3%",
        "width:25.1%",
        "width:2.1%",
    ]


def test_it_needs_nothing_else(write):
    source = write(demo_report())
    page = Page(source)
    assert not {"script", "link", "iframe", "object", "embed"} & {tag for tag, _ in page.elements}
    sources = [attributes.get("src") or attributes.get("srcset") for _, attributes in page.elements]
    addresses = [address for address in sources if address is not None]
    assert len(addresses) == 3 * 2 + 2  # three figures for two modes, two pictures
    assert all(re.match(r"data:image/(png|svg\+xml);base64,", address) for address in addresses)
    assert "http" not in source
    assert not re.search(r"url\(|@import", source)


def test_a_picture_is_shown_pixel_by_pixel(write):
    page = Page(write(demo_report(gallery=[item(3)])))
    (address,) = [a["src"] for a in page.named("img") if a["src"].startswith("data:image/png")]
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))
    assert np.array_equal(shown, item(3).image.permute(1, 2, 0).numpy())


def test_it_can_be_read_aloud(write):
    page = Page(write(demo_report()))
    assert page.named("html") == [{"lang": "en"}]
    assert all(len(attributes["alt"]) > 20 for attributes in page.named("img"))
    alternatives = " ".join(attributes["alt"] for attributes in page.named("img"))
    assert f"150 added {RESULTS['knowledge']['filtered']['irrelevant']['150']:.3f}" in alternatives
    assert all("scope" in attributes for attributes in page.named("th"))


def test_text_is_never_taken_for_html(write):
    nasty = '<script>alert("x")</script> & \'<b>'
    facts = [GalleryFact(sentence=nasty, matches=False, gate=0.5, score=0.0, kind="irrelevant")]
    predictions = dict.fromkeys(ARMS, nasty)
    gallery = [item(question=nasty, answer=nasty, predictions=predictions, facts=facts)]
    results = RESULTS | {"versions": {nasty: nasty}}
    source = write(demo_report(results=results, gallery=gallery))
    page = Page(source)
    assert not page.named("script")
    assert not page.named("b")[3 + 2 :]  # the headline's and the filter's numbers
    assert page.text.count(nasty) == 1 + 1 + 3 + 1 + 2


@pytest.mark.parametrize("quick", [True, False])
def test_a_quick_run_says_so(write, quick):
    assert ("A quick run." in write(demo_report(results=RESULTS | {"quick": quick}))) == quick


def test_chance_is_drawn_and_said(write):
    page = Page(write(demo_report()))
    assert "chance" in page.text
    assert "0.016" in page.text


def test_the_best_are_marked(write):
    results = copy.deepcopy(RESULTS)
    results["knowledge"]["no_facts"]["irrelevant"]["3"] = 0.999
    page = Page(write(demo_report(results=results)))
    assert len([1 for attributes in page.named("td") if attributes.get("class") == "best"]) == 9


def test_without_a_filter_without_a_gallery_without_curves(write):
    page = Page(write(demo_report(results=RESULTS | {"filter": None}, gallery=[], curves={})))
    assert "AUROC" not in page.text
    bare = replace(item(), facts=[])
    assert "kite (right)" in Page(write(demo_report(gallery=[bare]))).text


def test_the_same_report_is_the_same_file(write):
    assert write(demo_report()) == write(demo_report())


def test_a_failure_leaves_the_old_report(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    with pytest.raises(KeyError):
        write_report(demo_report(results={}), path)
    assert path.read_text() == "old"


def test_the_table_for_the_terminal():
    console = Console(width=100, record=True, file=io.StringIO())
    print_table(RESULTS, console)
    shown = console.export_text()
    for arm in ARMS:
        for accuracies in RESULTS["knowledge"][arm].values():
            assert all(f"{share:.3f}" in shown for share in accuracies.values())
    for label in ("nothing added", "150 irrelevant", "48 contradicting", "9,673", "888", "612"):
        assert label in shown
    for label in ("AUROC (FPR95)", "0.987 (0.031)", "AUROC (FPR95), 150 irrelevant", "0.947 (0.031)"):
        assert label in shown
    assert "quick" not in shown
    print_table(RESULTS | {"quick": True}, console)
    assert "quick run: the models have learned less" in " ".join(console.export_text().split())
    print_table(RESULTS | {"filter": None}, console)
    assert "AUROC" not in console.export_text()


def test_where_the_fit_lies(tmp_path):
    write_report(
        demo_report(gallery=[item(patches=np.eye(4)[None].repeat(2, 0)), item(1)]), tmp_path / "report.html"
    )
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("where component 1 lies") == page.count("where component 2 lies") == 1
    assert page.count('class="components"') == 1
