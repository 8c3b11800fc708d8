"""Words of a command line become a run, or one sentence that says what is wrong and what is near."""

import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from support import oracles
from vkood.cli import app
from vkood.recipes.presets import PRESETS
from vkood.recipes.resolve import resolve
from vkood.recipes.tasks import RECIPES
from vkood.train.run import RunError, planned_steps, require_possible
from vkood.train.settings import from_yaml, keys_of, to_yaml


@pytest.mark.parametrize("recipe", RECIPES)
def test_yaml_is_taken_back(tmp_path, recipe):
    result = CliRunner().invoke(app, ["train", recipe, "data.folder=x", "--dry-run"])
    assert result.exit_code == 0
    file = tmp_path / "run.yaml"
    file.write_text(result.stdout)
    assert from_yaml(file) == resolve(recipe, ["data.folder=x"]) == resolve(None, [], file)
    assert to_yaml(from_yaml(file)) == result.stdout


@pytest.mark.parametrize("preset", PRESETS)
def test_presets(preset):
    values = keys_of(resolve("vqa", [preset]))
    assert all(values[key] == value for key, value in PRESETS[preset].items())


def test_values_of_the_paper():
    """Total batch, rates and factors, as its configurations have them."""
    for recipe, batch, rate, head, size in (
        ("vqa", 512, 5e-6, 50, 576),
        ("nlvr2", 256, 1e-5, 10, 288),
        ("retrieval-coco", 512, 5e-6, 5, 384),
        ("pretrain", 4096, 1e-5, 5, 224),
    ):
        run = resolve(recipe)
        options = run.optimisation
        assert (options.batch_size, options.learning_rate, options.head_factor) == (batch, rate, head)
        assert (options.fusion_factor, options.betas, options.weight_decay, options.warmup) == (
            5,
            [0.9, 0.98],
            0.01,
            0.1,
        )
        assert run.model.image_size == size


def test_home_is_expanded_in_paths(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/home/me")
    words = ["data.folder=~/t", "output=~/o", "model.image=~/i", "model.text=~/x", "model.checkpoint=~/c"]
    run = resolve("vqa", words)
    paths = (run.data.folder, run.output, run.model.image, run.model.text, run.model.checkpoint)
    assert paths == tuple(f"/home/me/{name}" for name in "toixc")
    file = tmp_path / "run.yaml"
    file.write_text("data:\n  folder: ~/t\n")
    assert resolve(None, [], file).data.folder == "/home/me/t"


def test_splits_are_apart_unless_asked():
    for recipe in RECIPES:
        data = resolve(recipe).data
        assert not set(data.train) & set(data.validation)
        assert not set(data.validation) & set(data.test)
    assert resolve("retrieval-coco", ["published-splits"]).data.validation == ["coco_caption_karpathy_test"]
    assert resolve("vqa", ["published-splits"]).data.train == ["vqav2_train", "vqav2_val"]


@pytest.mark.parametrize(
    ("recipe", "words", "says"),
    [
        ("vqa2", [], "Did you mean 'vqa'"),
        ("vqa", ["clip61"], "Did you mean 'clip16'"),
        ("vqa", ["learning_rate=1"], "Did you mean `optimisation.learning_rate`"),
        ("vqa", ["optimisation.learningrate=1"], "Did you mean `optimisation.learning_rate`"),
        ("vqa", ["optimisation.learning_rate=fast"], "cannot be 'fast'"),
        ("vqa", ["data.workers=1.5"], "cannot be '1.5'"),
        ("vqa", ["data.train=vqav2_train"], "cannot be"),
    ],
)
def test_mistakes(recipe, words, says):
    with pytest.raises(RunError, match=says):
        resolve(recipe, words)


def test_the_last_of_steps_and_epochs_counts():
    """`steps` stands in place of `epochs`; asking for epochs alone must not leave a recipe's or preset's steps."""
    assert resolve("pretrain").optimisation.steps == 100_000
    assert resolve("pretrain", ["optimisation.epochs=2"]).optimisation.steps is None
    assert resolve("vqa", ["tiny", "optimisation.epochs=2"]).optimisation.steps is None
    assert resolve("vqa", ["optimisation.epochs=2", "optimisation.steps=5"]).optimisation.steps == 5


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("num_examples", [108, 10**7])
def test_tiny_ends_quickly(recipe, num_examples):
    """On however many examples: on two cores, a step takes less than a fifth of a second."""
    run = resolve(recipe, ["tiny"])
    assert planned_steps(run, num_examples) == 200
    # Validations cost steps too; a small data set must not be validated after each of them.
    assert run.optimisation.evaluate_every * num_examples / run.optimisation.batch_size >= 60


@pytest.mark.parametrize("words", [["vqa", "tyny"], ["vqa", "data.folder="], ["vqa", "optimisation.seed=-1"]])
def test_mistakes_do_not_wait_for_pytorch(words):
    program = f"import sys; sys.argv[1:] = ['train', *{words!r}]\n" + (
        "from vkood.cli import main\ntry:\n    main()\nfinally:\n"
        "    print({'torch', 'transformers'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (result.returncode, result.stdout.strip()) == (2, "set()"), result.stderr


@pytest.mark.parametrize(
    ("recipe", "words", "says"),
    [
        ("vqa", [], "`data.folder` must be the folder"),
        ("vqa", ["data.folder=x", "optimisation.schedule=linaer"], "must be one of polynomial, cosine"),
        (
            "vqa",
            ["data.folder=x", "optimisation.steps=0"],
            "`optimisation.steps` must be a whole number from 1",
        ),
        ("vqa", ["data.folder=x", "optimisation.keep_checkpoints=1"], "a whole number from 2"),
        ("blip-vqa", ["data.folder=x"], "BLIP starts from pretrained weights"),
        ("vqa", ["data.folder=x", "model.adapter_size=8"], "for the BLIP family"),
        ("vqa", ["data.folder=x", "evaluate_only=true"], "needs `model.checkpoint`"),
        ("vqa", ["data.folder=x", "data.train=[]"], "`data.train` must name at least one table"),
        (
            "vqa",
            ["data.folder=x", "data.validation=[]", "optimisation.patience=2"],
            "needs `data.validation`",
        ),
    ],
)
def test_what_cannot_be(recipe, words, says):
    with pytest.raises(RunError, match=says):
        require_possible(resolve(recipe, words))


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("task=vqa", "`task` must be one of answering"),
        ("model.family=blip", "the task pretraining has no model in the family 'blip'"),
        ("optimisation.arguments.lr_sheduler_kwargs=1", "`optimisation.arguments.lr_scheduler_kwargs`?"),
        ("model.config.gaet.backend=torch", "did you mean `gate`?"),
        ("model.config.gate.solver.hystory=3", "got `hystory`"),
        ("model.config.gate.solver.type=andersen", "got 'andersen'"),
    ],
)
def test_a_dry_run_refuses_what_the_run_would(word, says):
    """But for the folder of the tables, and the model that BLIP starts from, which it does not need."""
    with pytest.raises(RunError, match=re.escape(says)):
        require_possible(resolve("pretrain", [word, "data.folder=x", "tiny"]))
    result = CliRunner().invoke(app, ["train", "pretrain", word, "--dry-run"])
    assert result.exit_code == 2
    assert says in " ".join(result.output.replace("│", " ").split())


def test_bad_yaml(tmp_path):
    file = tmp_path / "run.yaml"
    for text, says in (
        ("- 1", "named values"),
        ("a: [", "YAML"),
        ("task: vqa\nmodel: {imag: x}", "model.image"),
    ):
        file.write_text(text)
        with pytest.raises(RunError, match=says):
            from_yaml(file)
    file.write_text(to_yaml(replace(resolve("vqa"), recipe="nlvr2")))
    with pytest.raises(RunError, match="is a run of the recipe 'nlvr2'"):
        resolve("vqa", [], file)


@pytest.mark.parametrize("name", ["polynomial", "cosine"])
def test_schedules(name):
    """Rates by step, against those of the reference implementations."""
    import torch
    from transformers import get_scheduler

    from vkood.train.arguments import SCHEDULES

    expected = json.loads((oracles.FOLDER / "metrics" / "lr_schedule.json").read_text())
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=expected["base_lr"])
    kind, options = SCHEDULES[name]
    schedule = get_scheduler(kind, optimiser, expected["warmup_steps"], expected["max_steps"], options)
    rates = []
    for _ in range(expected["max_steps"] + 1):
        rates.append(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()
    key = "polynomial_power1_end0" if name == "polynomial" else "cosine"
    assert rates == pytest.approx(expected[key], abs=1e-12)
