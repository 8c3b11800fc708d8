"""What a run's keys may hold, and what YAML may say of them."""

import math
import typing
from dataclasses import fields, is_dataclass

import pytest

from vkood.fields import rules_of
from vkood.train.run import Run, RunError, require_possible, require_values
from vkood.train.settings import from_yaml, keys_of, to_yaml, with_changes

NUMBERS = (int, float, int | None, float | None, list[float], list[int])


def numeric_fields(kind, prefix=""):
    """Each number's key, its dataclass and its type."""
    types = typing.get_type_hints(kind)
    for item in fields(kind):
        if is_dataclass(types[item.name]):
            yield from numeric_fields(types[item.name], f"{prefix}{item.name}.")
        elif types[item.name] in NUMBERS:
            yield prefix + item.name, kind, types[item.name]


KEYS = {key: (kind, type_) for key, kind, type_ in numeric_fields(Run)}
IMPOSSIBLE = ["-1", ".nan", ".inf", str(10**20), "fast"]


def test_every_number_has_a_range():
    """A new key fails here until it has one."""
    assert len(KEYS) > 30
    for key, owner, _ in numeric_fields(Run):
        assert key.rpartition(".")[2] in rules_of(owner), key


def test_every_default_is_possible():
    require_values(Run())


@pytest.mark.parametrize("key", KEYS)
def test_what_means_nothing_is_refused(key):
    for value in [*IMPOSSIBLE, *(["[0.9, 0.98, 0.99]", "[0.9]", "[]"] if "betas" in key else [])]:
        with pytest.raises(RunError, match=key.replace(".", r"\.")) as error:
            with_changes(Run(), [f"{key}={value}"])
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("key", KEYS)
def test_so_it_is_from_python(key):
    """Whoever makes a run in Python has no OmegaConf before the checks."""
    for value in (-1, math.nan, math.inf, -math.inf, 10**20, "1", [1], True, 10**5000):
        run = Run()
        *above, name = key.split(".")
        record = run
        for part in above:
            record = getattr(record, part)
        setattr(record, name, value)
        with pytest.raises(RunError, match=key.replace(".", r"\.")):
            require_possible(run)


BOMB = "a: &a [x, x]\n" + "".join(
    f"{c}: &{c} [*{b}, *{b}]\n" for b, c in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "task: !!python/object/apply:os.system ['true']",
            r"tags \(such as !!python/object/apply:os.system\)",
        ),
        ("task: !!str vqa", "tags"),
        ("task: !own vqa", "tags"),
        (BOMB, "anchors and aliases .* line 1"),
        ("task: " + "[" * 10_000, "nested deeper than 20 levels"),
        ("task: [", "cannot be read as YAML"),
        ("task: vqa\ntask: vqa", "cannot be read as YAML"),
        ("task: \x01", "cannot be read as YAML"),
        ("optimisation: {steps: " + "9" * 5000 + "}", "run.yaml"),
        ("optimisation: {steps: 2001-99-99}", "run.yaml"),
        ("optimisation: 5", "`optimisation` .* holds several values"),
        ("optimisation: {learningrate: 1}", "Did you mean `optimisation.learning_rate`"),
        ("1: 2", "there is no key `1`"),
        ("? [a, b]\n: 2", "cannot be read as YAML"),
        ("output: ${nowhere}", "run.yaml"),
        ("data: {train: vqa}", "run.yaml"),
        ("data: {train: [{a: b}]}", "run.yaml': C(ould not create|annot convert)"),
        ("model: {config: [1, 2]}", "run.yaml.*Cannot merge"),
        ("num_gpus: -1", "`num_gpus` must be a whole number from 0"),
        ("", "must hold named values"),
        ("- 1", "must hold named values"),
        (" " * 2**21, "at most"),
    ],
)
def test_bad_yaml(tmp_path, text, says):
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(RunError, match=says) as error:
        from_yaml(file)
    assert "\n" not in str(error.value)


def test_yaml_that_is_no_text(tmp_path):
    file = tmp_path / "run.yaml"
    for content, says in ((b"\xff\xfet", "UTF-16"), (b"\xe9", "UTF-8"), (None, "regular file")):
        if content is None:
            file.unlink()
            file.mkdir()
        else:
            file.write_bytes(content)
        with pytest.raises(RunError, match=says):
            from_yaml(file)


@pytest.mark.parametrize(
    "value",
    ["!!python/object/apply:os.system ['true']", "[&a x, *a]", "[", "a: b: c", "${nowhere}", "'", "[" * 9999],
)
def test_bad_values(value):
    with pytest.raises(RunError, match=r"output|command line") as error:
        with_changes(Run(), [f"output={value}"])
    assert len(str(error.value)) < 300
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "key", ["model", "data", "model.config.", "model.config.a..b", "a[", "", "optimisation.steps.x"]
)
def test_bad_keys(key):
    with pytest.raises(RunError):
        with_changes(Run(), [f"{key}=1"])


def test_every_key_is_taken_back(tmp_path):
    file = tmp_path / "run.yaml"
    run = with_changes(Run(), ["output=a=b", "model.config.gate={threshold: 1.5}", "data.train=[a, 'b*']"])
    file.write_text("\ufeff" + to_yaml(run), encoding="utf-8")
    assert keys_of(from_yaml(file)) == keys_of(run)
