"""The performance page is what the results give, and every benchmark's folder says what it is."""

import importlib.util
import re
from pathlib import Path

import pytest
from benchmarks.measuring import Table, targets_table

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(path.parent for path in (ROOT / "benchmarks").glob("*/__init__.py"))
SECTIONS = (
    "Question",
    "Method",
    "Command",
    "Minutes and memory",
    "Targets",
    "Reading the numbers",
    "What falls short",
)


def load_script():
    spec = importlib.util.spec_from_file_location(
        "performance_page", ROOT / "scripts" / "performance_page.py"
    )
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


@pytest.fixture
def script(tmp_path, monkeypatch):
    """The script, with few results and a page of its own."""
    script = load_script()
    monkeypatch.setattr(script, "TEMPLATE", tmp_path / "page.md.jinja")
    monkeypatch.setattr(script, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(script, "ROOT", tmp_path)
    monkeypatch.setattr(script, "all_tables", lambda: {"speed": {"all": Table("All", ["x"], [["1"]])}})
    script.TEMPLATE.write_text("# Speed\n\n{{ table('speed', 'all') }}\n")
    return script


def run(script, monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["performance_page.py", *words])
    return script.main()


def test_the_page_is_what_the_results_give():
    script = load_script()
    assert script.PAGE.read_text(encoding="utf-8") == script.rendered()


def test_check_fails_where_the_results_changed(script, monkeypatch, capsys):
    assert run(script, monkeypatch, "--check") == 1
    assert run(script, monkeypatch) == 0
    assert script.PAGE.read_text() == "# Speed\n\nAll:\n\n| x |\n|---|\n| 1 |\n"
    assert run(script, monkeypatch, "--check") == 0
    monkeypatch.setattr(script, "all_tables", lambda: {"speed": {"all": Table("All", ["x"], [["2"]])}})
    assert run(script, monkeypatch, "--check") == 1
    assert "page.md is not what the results give" in capsys.readouterr().out


def test_no_table_is_left_out(script):
    script.TEMPLATE.write_text("# Speed\n")
    with pytest.raises(
        ValueError, match=r"must show every table of the results; it leaves out \[\('speed', 'all'\)\]"
    ):
        script.rendered()


def test_targets_say_what_is_missed():
    table = targets_table([("2 x", "3 x", True), ("5 x", "3 x", False)])
    assert [row[-1] for row in table.rows] == ["met", "missed"]
    assert table.markdown().splitlines()[2] == "| 2 x    | 3 x      | met    |"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_benchmark_says_what_it_is(folder):
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert all(f"**{section}.**" in text for section in SECTIONS)
    commands = re.findall(r"python -m benchmarks\.([\w.]+)", text)
    assert commands
    for command in commands:
        module = ROOT / "benchmarks" / command.replace(".", "/")
        assert (module / "__main__.py").is_file() or module.with_suffix(".py").is_file(), command
    index = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert f"]({folder.name}/README.md)" in index
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert (folder / link).exists(), link
