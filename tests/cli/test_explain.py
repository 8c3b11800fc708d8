"""`vkood explain`: what it refuses, what it calls, and what it prints."""

import json

import pytest
from PIL import Image
from typer.testing import CliRunner

import vkood.pipelines.photo_explainer
from vkood.cli import app
from vkood.knowledge import FactStore, LinkedFact
from vkood.reporting.photo_explanation import JudgedFact, PhotoExplanation

KEPT = JudgedFact(fact=LinkedFact("a cat purrs."), score=-3.0, margin=2.6, reason="fits tabby cat (90%)")
DROPPED = JudgedFact(
    fact=LinkedFact("a container ship can be found at the dock."),
    score=0.5,
    margin=-0.9,
    reason="fits container ship better, which is not in the picture",
)


@pytest.fixture(name="calls", autouse=True)
def _calls(monkeypatch):
    """What the explainer is called with."""
    recorded = []

    class Stub:
        def __init__(self, store, **options):
            recorded.append((store.path if hasattr(store, "path") else None, options))

        def explained(self, images, text):
            for path in images:
                recorded.append((path.name, text))
                yield PhotoExplanation(
                    name=str(path),
                    text=text,
                    picture=Image.new("RGB", (8, 8)),
                    concepts=(("cat", 0.97), ("mammal", 0.98)),
                    kept=(KEPT,),
                    dropped=(DROPPED,),
                    threshold=-0.4,
                )

    monkeypatch.setattr(vkood.pipelines.photo_explainer, "PhotoExplainer", Stub)
    return recorded


@pytest.fixture(name="folder")
def _folder(tmp_path):
    """Two photographs and a text."""
    for name in ("b.PNG", "a.png"):
        Image.new("RGB", (20, 10), "brown").save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("mine")
    return tmp_path


def run(*arguments, code=0, **environment):
    result = CliRunner().invoke(app, ["explain", *map(str, arguments)], env=environment)
    assert result.exit_code == code, result.output
    return result


def refused(*arguments):
    result = run(*arguments, code=2)
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1, result.stderr
    return result.stderr


def test_a_table(folder, calls):
    result = run(folder / "a.png", "--text", "Is it a cat?", "--limit", 7)
    assert calls[0][1] == {"model": None, "limit": 7}
    assert calls[1:] == [("a.png", "Is it a cat?")]
    for part in (
        "a.png",
        "Is it a cat?",
        "cat 97%",
        "kept: 1",
        "a cat purrs.",
        "-3.00",
        "+2.60",
        "dropped: 1",
        "-0.90",
    ):
        assert part in result.stdout
    assert "\x1b" not in result.stdout
    assert "margin  score" in result.stdout
    assert "if that is wrong, so are the facts" in " ".join(result.stdout.split())


@pytest.mark.parametrize("width", [40, 60, 120])
def test_it_fits_narrow_and_wide_terminals(folder, monkeypatch, width):
    monkeypatch.chdir(folder)
    lines = run("a.png", COLUMNS=str(width)).stdout.splitlines()
    assert max(map(len, lines)) <= width
    assert "not in the picture" in " ".join(" ".join(lines).split())


def test_json_and_a_page(folder):
    result = run(folder / "a.png", "--json", "--output", folder / "page.html")
    (record,) = json.loads(result.stdout)
    assert record["kept"][0]["sentence"] == "a cat purrs."
    assert "a cat purrs." in (folder / "page.html").read_text(encoding="utf-8")
    assert str(folder / "page.html") in run(
        folder / "a.png", "--output", folder / "page.html"
    ).stdout.replace("\n", "")


def test_a_folder_gives_one_page(folder, calls):
    run(folder, "--output", folder / "page.html")
    assert [name for name, _ in calls[1:]] == ["a.png", "b.PNG"]
    assert (folder / "page.html").read_text(encoding="utf-8").count("<article") == 2


def test_a_bad_photograph_does_not_lose_the_others(folder, calls):
    (folder / "c.jpg").write_text("not a picture")
    result = run(folder, folder / "none.jpg", "--output", folder / "page.html", code=1)
    assert [name for name, _ in calls[1:]] == ["a.png", "b.PNG"]
    first, second = result.stderr.splitlines()
    assert "c.jpg" in first and "must be a picture" in first
    assert "none.jpg" in second and "no such file" in second
    assert "c.jpg" in (folder / "page.html").read_text(encoding="utf-8")


def test_bad_input_is_refused_before_anything_is_loaded(folder, calls):
    (folder / "empty").mkdir()
    assert "has no file whose name ends in" in refused(folder / "empty")
    assert "must be a picture" in refused(folder / "notes.txt")
    assert "no such file" in refused(folder / "none.jpg")
    assert "--limit must be a number from 1 to 1,000; got 0" in refused(folder, "--limit", 0)
    assert "--output must be in a folder that exists" in refused(
        folder, "--output", folder / "no" / "page.html"
    )
    assert "is not a fact store" in refused(folder, "--store", folder / "notes.txt")
    assert "--store" in refused(folder, "--store", folder / "none.db")
    assert "has no config.json" in refused(folder, "--model", folder, "--text", "Is it?")
    (folder / "config.json").write_text("{}")
    assert "--model needs --text" in refused(folder, "--model", folder)
    assert calls == []


def test_missing_packages(folder, calls, monkeypatch):
    monkeypatch.setattr("vkood.cli.explain.PACKAGES", ("json", "no_such_package"))
    assert "packages are missing (no_such_package); install them with" in refused(folder)
    assert calls == []


def test_what_goes_wrong_is_one_sentence(folder, monkeypatch):
    def fail(store, **options):
        raise ValueError("the fact store knows none of the classes.")

    monkeypatch.setattr(vkood.pipelines.photo_explainer, "PhotoExplainer", fail)
    assert refused(folder) == "vkood: the fact store knows none of the classes.\n"


def test_an_own_store(folder, calls):
    from vkood.knowledge.store.default import default_store_path

    run(folder / "a.png", "--store", default_store_path())
    assert FactStore.open(default_store_path()).path == calls[0][0]
