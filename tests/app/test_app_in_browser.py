"""`vkood app` as a user has it: the command, its page in Chromium, real models.

With VKOOD_SCREENSHOTS=FOLDER the pictures of docs/app.md are made there.
"""

# pyright: reportMissingImports=false

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from PIL import Image

from support.every_model import two_stream_config
from support.tiny_pictures import image_processor
from support.tiny_vqa import tiny_tokenizer
from vkood.demo.photographs import demo_photographs
from vkood.models import VkoodForVisualQuestionAnswering
from vkood.pipelines import VkoodProcessor

pytest.importorskip("gradio", reason="needs the extra `app`")
sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("needs chromium, as `apt-get install chromium` brings it", allow_module_level=True)

pytestmark = pytest.mark.slow
SCREENSHOTS = os.environ.get("VKOOD_SCREENSHOTS")
LOADING = 240
"""Seconds that a busy machine may take to load everything."""
EXPLAINING = 120_000
"""Milliseconds that it may take for the first photograph."""


def save_model(folder):
    config = two_stream_config(fact_dim=384, num_labels=3, id2label={0: "yes", 1: "no", 2: "kite"})
    config.text_config.vocab_size = len(tiny_tokenizer())
    VkoodForVisualQuestionAnswering(config).save_pretrained(folder)
    VkoodProcessor(image_processor(), tiny_tokenizer()).save_pretrained(folder)
    return folder


class Server:
    """The running command, the folder that it was started in, and the folder of its temporary files."""

    def __init__(self, folder):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self.port = taken.getsockname()[1]
        self.here, self.temporary = folder / "here", folder / "temporary"
        self.here.mkdir()
        self.temporary.mkdir()
        self.log = folder / "log"
        environment = os.environ | {
            "TMPDIR": str(self.temporary),
            "OMP_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
        }
        command = [sys.executable, "-m", "vkood", "app", "--no-browser", "--port", str(self.port)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, "--model", str(save_model(folder / "model"))],
                cwd=self.here,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.url = f"http://127.0.0.1:{self.port}/"
        end = time.monotonic() + LOADING
        while "The page is at" not in self.log.read_text():
            assert self.process.poll() is None and time.monotonic() < end, self.log.read_text()
            time.sleep(0.2)

    def files(self):
        """Files that the server has in its temporary folder."""
        return [path for path in self.temporary.rglob("*") if path.is_file() and "vkood-app" in str(path)]


@pytest.fixture(scope="module", name="server")
def _server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("app"))
    yield server
    if server.process.poll() is None:
        server.process.kill()
        server.process.wait()


@pytest.fixture(scope="module", name="browser")
def _browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(name="tab")
def _tab(server, browser):
    """Opens tabs; at the end of the test none may have logged an error, or asked another server."""
    problems, contexts = [], []

    def watch(message):
        if message.type == "error":
            problems.append(message.text)

    def request(requested):
        if not requested.url.startswith((server.url, "data:", "blob:")):
            problems.append(f"requested {requested.url}")

    def open_tab(**options):
        context = browser.new_context(**({"viewport": {"width": 1400, "height": 900}} | options))
        contexts.append(context)
        page = context.new_page()
        page.on("console", watch)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
        page.on("request", request)
        page.goto(server.url)
        page.get_by_role("button", name="Explain").wait_for(timeout=60_000)
        return page

    yield open_tab
    for context in contexts:
        context.close()
    assert not problems


def counts(page):
    return page.locator("p.counts").inner_text()


def example(page, name):
    page.get_by_role("button", name=name, exact=True).click()
    page.get_by_alt_text(f"The photograph {demo_photographs()[name].name}.").wait_for(timeout=EXPLAINING)
    page.get_by_text("Answers", exact=True).wait_for(timeout=EXPLAINING)


def upload(page, path):
    page.locator("input[type=file]").first.set_input_files(path)


def slider(page):
    return page.get_by_role("slider")


def rows(page, column=0):
    return page.locator(f"table.judged tbody tr td:nth-child({column + 1})").all_inner_texts()


def screenshot(page, name, part=None):
    """Picture what is to be seen, or a part of the page."""
    if SCREENSHOTS:
        path = Path(SCREENSHOTS) / f"app-{name}.png"
        (page if part is None else page.locator(part)).screenshot(path=path, animations="disabled")
        with Image.open(path) as picture:
            small = picture.convert("RGB").quantize(160, dither=Image.Dither.NONE)
        small.save(path, optimize=True)
        assert path.stat().st_size < 150_000


def test_the_page_before_anything_was_chosen(tab):
    page = tab()
    assert page.title() == "vkood"
    assert page.get_by_role("heading", level=1).inner_text() == "Which facts belong to this photograph?"
    page.get_by_text("Drop a photograph, or take one of the examples.").wait_for()
    page.get_by_role("button", name="Explain").click()
    assert "Choose a photograph first" in page.get_by_role("alert").inner_text()
    page.get_by_role("button", name="Save as page").click()
    page.get_by_text("There is nothing to save yet").wait_for()


def test_an_example_and_the_threshold(tab):
    page = tab()
    example(page, "cat")
    assert page.get_by_label("Question").input_value() == "Does it bark, or does it purr?"
    shown = {row.split("\t")[0] for row in page.locator("table.concepts tbody tr").all_inner_texts()}
    assert "cat" in " ".join(shown)
    facts = "\n".join(rows(page))
    assert "a cat can purr." in facts and "a dog can bark." in facts
    before = counts(page), rows(page)
    answers = page.locator(".explanation").inner_text()
    page.get_by_alt_text("The same picture, bright where component 1 of the fit lies.").wait_for()
    screenshot(page, "wide")
    screenshot(page, "answers", ".explanation")

    slider(page).focus()
    started = time.monotonic()
    slider(page).press("Home")
    page.get_by_text("0 kept", exact=True).wait_for(timeout=10_000)
    assert time.monotonic() - started < 5
    assert set(rows(page, 1)) == {"dropped"}
    page.get_by_text("The answer was given with the facts that were kept at").wait_for()
    assert page.locator(".explanation").inner_text() == answers
    slider(page).press("End")
    page.get_by_text(re.compile(", 0 dropped")).wait_for(timeout=10_000)
    page.get_by_role("button", name="Reset to default value").click()
    page.get_by_text(before[0].split(",")[0]).wait_for(timeout=10_000)
    assert (counts(page), rows(page)) == before


def test_headings_sort_and_the_order_outlasts_the_threshold(tab):
    page = tab()
    example(page, "rocket")
    first = rows(page)

    def scores():
        return [float(text) for text in rows(page, 3)]

    page.get_by_role("button", name="Score").click()
    assert scores() == sorted(scores())
    head = page.locator("th.score")
    assert head.get_attribute("aria-sort") == "ascending"
    page.get_by_role("button", name="Score").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert scores() == sorted(scores(), reverse=True) and rows(page) != first
    slider(page).press("Home")
    page.get_by_text("0 kept", exact=True).wait_for(timeout=10_000)
    assert scores() == sorted(scores(), reverse=True)
    assert page.locator("th.score").get_attribute("aria-sort") == "descending"
    page.get_by_role("button", name="Fact", exact=True).click()
    assert [row.lower() for row in rows(page)] == sorted(row.lower() for row in rows(page))


def test_an_upload_a_question_and_facts_of_ones_own(tab, server, tmp_path):
    page = tab()
    path = shutil.copy(demo_photographs()["coffee"], tmp_path / "my <b>cup & more.png")
    upload(page, path)
    page.get_by_role("img", name="The photograph my").wait_for(timeout=EXPLAINING)
    assert not server.files()
    hostile = "<img src=x onerror=alert(1)> ${alert(2)} {{value}} {{constructor.constructor('alert(3)')()}} `${1+1}`"
    page.get_by_role("button", name="Facts of your own").click()
    page.get_by_label("One a line").fill(f"Coffee is drunk from cups.\nPenguins breed on ice.\n{hostile}")
    page.get_by_label("Question").fill("Is it hot or cold?")
    page.get_by_label("Question").press("Enter")
    page.get_by_text("Penguins breed on ice.").first.wait_for(timeout=EXPLAINING)
    judged = dict(zip(rows(page), rows(page, 1), strict=True))
    (cup,) = (kept for fact, kept in judged.items() if fact.startswith("Coffee is drunk from cups."))
    (penguin,) = (kept for fact, kept in judged.items() if fact.startswith("Penguins breed on ice."))
    assert (cup, penguin) == ("kept", "dropped")
    assert any(fact.startswith(hostile) and "yours" in fact for fact in judged)
    page.wait_for_timeout(300)
    assert not server.files()


def test_pages_and_records_are_saved(tab, tmp_path):
    page = tab()
    example(page, "coffee")
    slider(page).focus()
    slider(page).press("Home")
    page.get_by_text("0 kept", exact=True).wait_for(timeout=10_000)
    saved = {}
    for kind in ("page", "JSON"):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Save as {kind}").click()
        saved[kind] = tmp_path / download.value.suggested_filename
        download.value.save_as(saved[kind])
    assert [path.name for path in saved.values()] == ["coffee-facts.html", "coffee-facts.json"]
    record = json.loads(saved["JSON"].read_text(encoding="utf-8"))
    assert record["threshold"] == -8.0 and record["kept"] == []
    assert {fact["sentence"] for fact in record["dropped"]} == {row.split("\n")[0] for row in rows(page)}
    assert record["answers"][0]["answer"] in ("yes", "no", "kite")
    html = saved["page"].read_text(encoding="utf-8")
    assert record["dropped"][0]["sentence"] in html and "data:image/jpeg" in html and "http" not in html


def test_wrong_files_leave_what_is_shown(tab, server, tmp_path):
    page = tab()
    example(page, "cat")
    before = rows(page)
    (tmp_path / "notes.txt").write_bytes(b"These are notes.")
    (tmp_path / "page.png").write_bytes(b"<!doctype html><title>404</title>")
    Image.new("1", (8_000, 5_001)).save(tmp_path / "bomb.png")
    for name, reason in (
        ("notes.txt", "must be a picture, but is in no format that is read"),
        ("page.png", "must be a picture, but is a web page"),
        ("bomb.png", "must have from 1 to 40,000,000 pixels"),
    ):
        upload(page, tmp_path / name)
        page.get_by_role("alert").get_by_text(f"{name} {reason}").wait_for(timeout=20_000)
        assert rows(page) == before
        assert not server.files()
    page.get_by_role("button", name="Explain").click()
    page.get_by_role("alert").wait_for(state="detached", timeout=20_000)


def test_two_tabs_at_once(tab):
    palace, camera = tab(), tab()
    palace.get_by_role("button", name="palace", exact=True).click()
    example(camera, "camera")
    palace.get_by_alt_text("The photograph china.jpg.").wait_for(timeout=EXPLAINING)
    before = rows(palace)
    slider(camera).press("Home")
    camera.get_by_text("0 kept", exact=True).wait_for(timeout=10_000)
    assert rows(palace) == before and not counts(palace).startswith("0 kept")
    palace.get_by_label("Question").fill("Is it old?")
    palace.get_by_role("button", name="Explain").click()
    palace.get_by_role("heading", name="Is it old?").wait_for(timeout=EXPLAINING)
    assert camera.get_by_label("Question").input_value() == "How many legs does it have?"
    palace.get_by_alt_text("The photograph china.jpg.").wait_for()


def focused(page):
    return page.evaluate(
        "() => { const e = document.activeElement; return (e.getAttribute('aria-label') || e.innerText "
        "|| e.type).trim(); }"
    )


def tab_to(page, name, limit=40):
    for _ in range(limit):
        page.keyboard.press("Tab")
        if name in focused(page):
            assert page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle") != "none", (
                name
            )
            return
    raise AssertionError(f"{name!r} cannot be reached by the keyboard")


def test_keyboard_alone(tab):
    page = tab()
    # Listened to from the beginning: the browser takes a moment to hand dialogues over.
    page.on("filechooser", lambda chooser: chooser.set_files(demo_photographs()["cat"]))
    tab_to(page, "Click to upload")
    page.wait_for_timeout(500)
    page.keyboard.press("Enter")
    page.get_by_alt_text("The photograph chelsea.png.").wait_for(timeout=EXPLAINING)
    tab_to(page, "rocket")
    page.keyboard.press("Enter")
    page.get_by_alt_text("The photograph rocket.jpg.").wait_for(timeout=EXPLAINING)
    tab_to(page, "Explain")
    tab_to(page, "range slider for Threshold")
    page.keyboard.press("Home")
    page.get_by_text("0 kept", exact=True).wait_for(timeout=10_000)
    tab_to(page, "Save as page")
    with page.expect_download():
        page.keyboard.press("Enter")
    tab_to(page, "Margin")
    page.keyboard.press("Space")
    assert page.locator("th.margin").get_attribute("aria-sort") == "descending"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(tab, scheme):
    page = tab(viewport={"width": 400, "height": 900}, color_scheme=scheme, has_touch=True)
    example(page, "coffee")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 400
    for box in page.locator("button:visible, input:visible, table:visible, img:visible").all():
        place = box.bounding_box()
        assert place is None or (place["x"] >= 0 and place["x"] + place["width"] <= 400), box
    assert all(image.get_attribute("alt") for image in page.locator("img:visible").all())
    colour = page.evaluate("() => getComputedStyle(document.querySelector('.counts')).color")
    assert (colour == "rgb(228, 231, 235)") == (scheme == "dark")
    if scheme == "dark":
        slider(page).scroll_into_view_if_needed()
        page.mouse.wheel(0, 600)
        page.wait_for_timeout(300)
    screenshot(page, f"phone-{scheme}")


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:7860"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
def test_other_sites_are_refused(server, headers):
    for path in ("", "gradio_api/upload"):
        request = urllib.request.Request(server.url + path, headers=headers, data=b"" if path else None)
        with pytest.raises(urllib.error.HTTPError) as error, urllib.request.urlopen(request):
            pass
        assert error.value.code == 403
        error.value.close()


def test_at_the_end_nothing_is_left(server):
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(timeout=30) == 0
    assert list(server.here.iterdir()) == []
    assert not [path for path in server.temporary.iterdir() if "vkood" in path.name or "gradio" in path.name]
    lines = server.log.read_text().splitlines()
    assert lines == [
        "Loading the classifier and the facts...",
        f"The page is at {server.url} until Ctrl-C.",
    ]
