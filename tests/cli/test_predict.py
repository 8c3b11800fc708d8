"""`vkood predict`: the same as `explain` in Python, and bad input as one sentence, before the model is loaded."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessorPil
from typer.testing import CliRunner

from support.command_line import refusal
from support.every_model import KINDS, two_stream_config
from support.tiny_vqa import tiny_tokenizer
from vkood.cli import app, predict
from vkood.knowledge import Fact, build_store
from vkood.models import VkoodForVisualQuestionAnswering
from vkood.models.explainable import MAX_ANSWERS
from vkood.pipelines import VkoodProcessor

QUESTION = "is there a kite?"
HOSTILE = "[/b] :smile: <script>'\"</script> \x1b[2J \u202e"


def saved(model, folder):
    images = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32)
    VkoodProcessor(images, tiny_tokenizer()).save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory):
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("predict")
    config = two_stream_config(fact_dim=384, num_labels=7, id2label={n: f"[b]{n}\x1b[0m" for n in range(7)})
    config.text_config.vocab_size = len(tiny_tokenizer())
    model = VkoodForVisualQuestionAnswering(config)
    return saved(model, place / "model")


@pytest.fixture(scope="module", name="picture")
def _picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("picture") / "[i]a.png"
    Image.linear_gradient("L").resize((40, 30)).save(path)
    return path


def run(folder, *images, text=QUESTION, facts=None, as_json=False, **options):
    arguments = [argument for image in images for argument in ("--image", str(image))]
    arguments += ["--text", text] + (["--facts", str(facts)] if facts is not None else [])
    arguments += ["--json"] if as_json else []
    arguments += [
        part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))
    ]
    return CliRunner().invoke(app, ["predict", str(folder), *arguments])


def test_it_says_what_explain_says(folder, picture, tmp_path):
    """With the same facts by default, and with none."""
    model = VkoodForVisualQuestionAnswering.from_pretrained(folder)
    for facts, explanation in (
        (None, model.explain(picture, QUESTION)),
        ("none", model.explain(picture, QUESTION, None)),
    ):
        result = run(folder, picture, facts=facts, output=tmp_path / "a.html")
        assert result.exit_code == 0, result.output
        record = json.loads(run(folder, picture, facts=facts, as_json=True).stdout)
        assert record["answers"] == [list(pair) for pair in explanation.answers[:5]]
        assert [fact["sentence"] for fact in record["facts"]] == [fact.sentence for fact in explanation.facts]
        assert bool(explanation.facts) == (facts is None) == ("facts, by gate" in result.stdout)
        assert r"[b]" in result.stdout
        assert "\x1b" not in result.stdout + (tmp_path / "a.html").read_text()


def test_facts_from_a_file_or_a_store(folder, picture, tmp_path):
    lines = tmp_path / "facts.txt"
    lines.write_bytes(b"\xef\xbb\xbf" + f"{HOSTILE}\r\n\r\n  a kite flies. \n".encode())
    result = run(folder, picture, facts=lines, text=HOSTILE, output=tmp_path / "a.html")
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 5 + 1 + 2
    assert r"[/b] :smile: <script>'\"</script> \x1b[2J \u202e".replace(r"\"", '"') in result.stdout
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert page.count("&lt;script&gt;") == 3  # title, heading, fact
    assert "<script" not in page
    build_store(tmp_path / "facts.db", [[Fact("kite", "UsedFor", "flying")]])
    assert "a kite is used for flying." in run(folder, picture, facts=tmp_path / "facts.db").stdout


def test_how_many_answers(folder, picture):
    assert predict.MAX_ANSWERS == MAX_ANSWERS
    assert len(run(folder, picture, facts="none", top=7).stdout.splitlines()) == 7
    for top in (0, MAX_ANSWERS + 1):
        assert f"--top must be a number from 1 to 100; got {top}" in refusal(run(folder, picture, top=top))


def facts_files(tmp_path):
    """Files of facts that cannot be used, with what is said of them."""
    contents = {
        "latin.txt": ("café".encode("latin-1"), "must be UTF-8, but line 1 has the byte 0xe9"),
        "wide.txt": ("a fact.".encode("utf-16"), "must be UTF-8, but is UTF-16"),
        "empty.txt": (b" \n\n", "from 1 to 10,000 facts, one a line; .* has 0"),
        "many.txt": (b"a fact.\n" * 10_001, "from 1 to 10,000 facts, one a line; .* has 10,001"),
        "facts.csv": (b"a kite flies.", r"--facts must be default, none, a store, or a text file \(.txt\)"),
        "facts.db": (b"", r"--facts must be default, none, a store, or a text file \(.txt\)"),
    }
    for name, (content, reason) in contents.items():
        (tmp_path / name).write_bytes(content)
        yield tmp_path / name, reason
    with (tmp_path / "huge.txt").open("wb") as file:
        file.truncate(17 * 2**20)
    os.mkfifo(tmp_path / "pipe.txt")
    yield tmp_path / "huge.txt", "at most 16,777,216 bytes"
    yield tmp_path / "pipe.txt", "must be a regular file"
    yield tmp_path / "none.txt", "There is no file of facts"
    yield tmp_path / "none", "--facts must be default"
    yield tmp_path, "--facts must be default"
    yield "Default", "--facts must be default"


def test_facts_that_cannot_be_used(folder, picture, tmp_path, monkeypatch):
    monkeypatch.setattr("vkood.models.loading.load_model", lambda *_: pytest.fail("loaded before the check"))
    for facts, reason in facts_files(tmp_path):
        sentence = refusal(run(folder, picture, facts=facts))
        assert re.search(reason, sentence), sentence


def test_pictures_and_texts_that_cannot_be_used(folder, picture, tmp_path, monkeypatch):
    monkeypatch.setattr("vkood.models.loading.load_model", lambda *_: pytest.fail("loaded before the check"))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "page.jpg").write_text("<html>404</html>")
    for image, reason in (
        (tmp_path / "none.png", "no such file"),
        (tmp_path / "pipe", "must be a regular file"),
        (tmp_path, "must be a regular file"),
        (tmp_path / "page.jpg", "is a web page"),
        ("/dev/zero", "must be a regular file"),
    ):
        sentence = refusal(run(folder, picture, image))
        assert sentence.startswith(f"vkood: --image, {str(image)!r}, must be a picture")
        assert reason in sentence
    for text in ("", " \n"):
        assert "--text must be a question, sentence or caption; got " in refusal(
            run(folder, picture, text=text)
        )
    assert "there is no folder" in refusal(run(folder, picture, output=tmp_path / "none" / "out.html"))


def test_a_tokenizer_with_more_tokens_than_the_model_knows(folder, picture, tmp_path):
    shutil.copytree(folder, tmp_path / "model")
    tokenizer = tiny_tokenizer()
    known = len(tokenizer)
    tokenizer.add_tokens(["kites"])
    tokenizer.save_pretrained(tmp_path / "model")
    assert f"the model there knows {known} only" in refusal(run(tmp_path / "model", picture))


def test_more_pictures_than_the_model_takes(folder, picture):
    sentence = refusal(run(folder, picture, picture, facts="none"))
    assert sentence == "vkood: `image` must be one picture for this model; got 2."


def test_vectors_of_another_width(picture, tmp_path):
    config = two_stream_config(fact_dim=12)
    config.text_config.vocab_size = len(tiny_tokenizer())
    narrow = saved(VkoodForVisualQuestionAnswering(config), tmp_path / "model")
    sentence = refusal(run(narrow, picture))
    assert "takes vectors of facts of width 12, but those of the processor's encoder" in sentence
    assert run(narrow, picture, facts="none").exit_code == 0


def test_a_cache_that_cannot_be_written_to(picture, tmp_path, monkeypatch):
    config = KINDS["two-stream retrieval"].config(fact_dim=384)
    config.text_config.vocab_size = len(tiny_tokenizer())
    folder = saved(KINDS["two-stream retrieval"].model(config), tmp_path / "model")
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.delenv("VKOOD_CACHE", raising=False)
    sentence = refusal(run(folder, picture))
    assert "could not be added to" in sentence
    assert "VKOOD_CACHE" in sentence and "--fact-cache" in sentence
    assert run(folder, picture, fact_cache=tmp_path / "one").exit_code == 0
    monkeypatch.setenv("VKOOD_CACHE", str(tmp_path / "two"))
    assert run(folder, picture).exit_code == 0
    assert all(any(Path(tmp_path, name).rglob("*.f32")) for name in ("one", "two"))
