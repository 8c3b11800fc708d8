"""All commands, walked through: each says what it does, and all say it alike."""

import re
import shlex
from collections import defaultdict
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from vkood.cli import app
from vkood.cli.descriptions import describe_all
from vkood.cli.examples import EXAMPLES
from vkood.cli.help import EXIT_CODES, plain_help

ROOT = Path(__file__).parents[2]
GROUPS_AND_COMMANDS = list(describe_all(typer.main.get_command(app)))
COMMANDS = [command for command in GROUPS_AND_COMMANDS if not command.commands]
OPTIONS = [
    (command, option) for command in COMMANDS for options in command.options.values() for option in options
]
TYPERS_OWN = ("--install-completion", "--show-completion")

# Options of one name that take different values: what the value is says their help.
SEVERAL_VALUES = {
    "--output": {"FOLDER", "FILE"},  # where results go: as many files as there are, or one page or store
    "--facts": {"STORE", "FACTS"},  # `predict` takes facts in a text file too
}


def shown(command) -> str:
    return command.path


@pytest.mark.parametrize("command", GROUPS_AND_COMMANDS, ids=shown)
def test_everything_has_help(command):
    assert command.paragraphs, command.path
    assert all(paragraph.endswith((".", ":")) for paragraph in command.paragraphs)
    assert len(command.paragraphs[0]) <= 160
    for parameter in command.parameters:
        if parameter.names[0] in TYPERS_OWN:
            continue
        assert parameter.help.endswith("."), parameter
        assert parameter.help[0].isupper() or parameter.help.startswith(("default", "vqav2")), parameter


@pytest.mark.parametrize(("command", "option"), OPTIONS, ids=lambda value: getattr(value, "path", None))
def test_options_are_called_and_valued_in_one_style(command, option):
    assert re.fullmatch(r"--[a-z][a-z-]*[a-z]", option.names[0])
    assert option.value == "" or re.fullmatch(
        r"[A-Z]+|NAME\|FOLDER|error\|skip\|FILE|tagger\|captions\|none", option.value
    ), option


@pytest.mark.parametrize("command", COMMANDS, ids=shown)
def test_arguments_have_names_of_values(command):
    assert all(re.fullmatch(r"[A-Z_|=.]+", argument.names[0]) for argument in command.arguments)


def test_an_option_means_the_same_in_every_command():
    values = defaultdict(set)
    for _, option in OPTIONS:
        values[option.names[0]].add(option.value)
    several = {name: taken for name, taken in values.items() if len(taken) > 1}
    assert {name: taken for name, taken in several.items() if SEVERAL_VALUES.get(name) != taken} == {}


def test_what_means_the_same_is_one_option():
    names = defaultdict(set)
    for _, option in OPTIONS:
        names[option.help].add(option.names[0])
    assert {text: same for text, same in names.items() if len(same) > 1} == {}


def test_whatever_prints_a_result_prints_json():
    without = {command.path for command in COMMANDS}
    without -= {command.path for command, option in OPTIONS if option.names[0] == "--json"}
    # The demonstration writes files, and prints what they are; a training writes lines about its progress, and files.
    # The app shows its results in the browser, where they can be saved as JSON.
    assert without == {"vkood app", "vkood demo", "vkood train", "vkood data tiny"}


def test_every_command_has_examples():
    assert EXAMPLES.keys() == {command.path for command in COMMANDS}
    assert all(EXAMPLES.values())


@pytest.mark.parametrize("path", EXAMPLES)
def test_examples_are_of_their_command(path):
    (command,) = [command for command in COMMANDS if command.path == path]
    options = {
        name: option for group in command.options.values() for option in group for name in option.names
    }
    needed = {name for name, option in options.items() if option.is_required}
    for example in EXAMPLES[path]:
        words = shlex.split(example.partition(" > ")[0])
        assert words[: len(path.split())] == path.split()
        used = [word for word in words if word.startswith("--")]
        assert needed <= set(used) <= options.keys(), example
        values = sum(bool(options[name].value) for name in used)
        plain = len(words) - len(path.split()) - len(used) - values
        assert plain >= sum(argument.is_required for argument in command.arguments), example


@pytest.mark.parametrize("width", [40, 60, 79])
@pytest.mark.parametrize("command", GROUPS_AND_COMMANDS, ids=shown)
def test_narrow_terminals(command, width):
    lines = plain_help(command, width)
    text = "\n".join(lines)
    assert all(name in text for parameter in command.parameters for name in parameter.names)
    too_long = [line for line in lines if len(line) > width]
    assert [line for line in too_long if " " in line.strip()] == []  # but for words that are so long


@pytest.mark.parametrize("width", ["50", "80", "140"])
@pytest.mark.parametrize("command", GROUPS_AND_COMMANDS, ids=shown)
def test_help_is_printed_whole(command, width):
    result = CliRunner().invoke(
        app, [*command.path.split()[1:], "-h"], prog_name="other", env={"COLUMNS": width, "TERM": "dumb"}
    )
    assert result.exit_code == 0, result.output
    for parameter in command.parameters:
        assert all(name.removesuffix("...") in result.stdout for name in parameter.names), parameter
    for example in command.examples:
        assert f"   {example}\n" in result.stdout


def test_the_program_says_what_exit_codes_mean():
    printed = CliRunner().invoke(app, ["--help"]).stdout
    assert all(f"{code}  {meaning.replace('`', '')}"[:40] in printed for code, meaning in EXIT_CODES.items())


def test_the_page_of_the_commands_is_true(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import command_page  # pyright: ignore[reportMissingImports] - a script

    text = command_page.PAGE.read_text(encoding="utf-8")
    assert text == command_page.page(text), "python scripts/command_page.py writes it"
    for command in GROUPS_AND_COMMANDS:
        section = text.partition(f"# {command.path}\n")[2].partition("\n##")[0]
        rows = [line for line in section.splitlines() if line.startswith("| `")]
        titles = [row.split("`")[1].replace("\\|", "|") for row in rows]
        assert sorted(titles) == sorted(parameter.title for parameter in command.parameters)
        assert all(f"    {example}" in section for example in command.examples)
    with pytest.raises(ValueError, match="must have the line"):
        command_page.page("")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete(shell, monkeypatch):
    monkeypatch.setattr("shellingham.detect_shell", lambda: (shell, f"/bin/{shell}"))
    result = CliRunner().invoke(app, ["--show-completion"], prog_name="vkood")
    assert result.exit_code == 0, result.output
    assert "_VKOOD_COMPLETE" in result.stdout
