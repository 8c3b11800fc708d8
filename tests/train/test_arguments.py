"""The Trainer's arguments: every field can be set by one key, and what cannot be is refused in one sentence."""

import json
from dataclasses import fields

import pytest
import torch
from accelerate import PartialState
from torch import nn
from transformers import TrainingArguments
from typer.testing import CliRunner

from vkood.cli import app
from vkood.recipes.resolve import resolve
from vkood.train.arguments import KEYS, RunArguments, further_fields, run_arguments
from vkood.train.run import Run, RunError, require_possible
from vkood.train.settings import from_yaml, keys_of, to_yaml


def arguments(tmp_path, *changes, metric="accuracy"):
    run = resolve("vqa", ["tiny", "data.folder=x", "num_gpus=0", *changes])
    require_possible(run)
    return run_arguments(run, tmp_path, num_examples=160, metric=metric)


def test_every_field_is_reachable_by_one_key():
    names = {item.name for item in fields(TrainingArguments) if item.init}
    assert names <= {*KEYS, *further_fields()}
    assert not set(KEYS) & set(further_fields())
    assert set(KEYS.values()) <= set(keys_of(Run()))


def test_keys_of_ours(tmp_path):
    own = arguments(
        tmp_path, "optimisation.learning_rate=0.01", "optimisation.patience=2", "optimisation.steps=7"
    )
    assert isinstance(own, TrainingArguments)
    assert (own.learning_rate, own.max_steps, own.lr_scheduler_type) == (0.01, 7, "polynomial")
    assert (own.per_device_train_batch_size, own.gradient_accumulation_steps) == (16, 1)
    assert (own.eval_steps, own.metric_for_best_model) == (100, "eval_accuracy")
    assert arguments(tmp_path, metric=None).eval_strategy == "no"


def test_further_fields(tmp_path):
    further = arguments(
        tmp_path,
        "optimisation.arguments.label_smoothing_factor=0.1",
        "optimisation.arguments.lr_scheduler_kwargs={power: 2}",
        "optimisation.arguments.optim=sgd",
        "optimisation.arguments.logging_first_step=true",
    )
    assert (further.label_smoothing_factor, further.lr_scheduler_kwargs) == (0.1, {"power": 2})
    assert further.logging_first_step is True
    assert isinstance(further.optimizer(nn.Linear(2, 2)), torch.optim.SGD)


def test_the_optimiser_is_adamw(tmp_path):
    optimizer = arguments(tmp_path, "optimisation.betas=[0.8, 0.9]").optimizer(nn.Linear(2, 2))
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.defaults["betas"] == (0.8, 0.9)
    assert optimizer.defaults["fused"] is True
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.01, 0.0}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            "label_smoothing=0.1",
            r"there is no .*Did you mean `optimisation.arguments.label_smoothing_factor`\?",
        ),
        ("learning_rate=1", "has a key of its own: set `optimisation.learning_rate` in its place"),
        ("label_smoothing_factor=much", "factor` must be a number; got 'much'"),
        ("logging_first_step=3", "must be true or false; got 3"),
        ("ddp_timeout=[1]", "must be a whole number; got"),
        ("save_only_model=null", "must be true or false; got None"),
        ("lr_scheduler_kwargs=1", "must be named values, text or null; got 1"),
        ("lr_scheduler_kwargs.powr=2", "of the schedule polynomial; got `powr`; did you mean `power`"),
        ("lr_scheduler_kwargs.power=a", "`optimisation.arguments` cannot be: unsupported operand"),
        ("optim=sdg", r"`optimisation.arguments.optim` cannot be 'sdg': did you mean 'sgd'\?"),
        ("optim_args=x", "`optimisation.arguments` cannot be: "),
    ],
)
def test_what_cannot_be(tmp_path, change, says):
    with pytest.raises(RunError, match=says) as error:
        arguments(tmp_path, f"optimisation.arguments.{change}")
    assert "\n" not in str(error.value)


def test_they_are_recorded_and_listed(tmp_path):
    run = resolve("vqa", ["optimisation.arguments.tf32=false"])
    (tmp_path / "run.yaml").write_text(to_yaml(run))
    assert from_yaml(tmp_path / "run.yaml") == run
    listed = CliRunner().invoke(app, ["recipes", "--keys"]).stdout
    keys = json.loads(CliRunner().invoke(app, ["recipes", "--keys", "--json"]).stdout)
    assert list(keys) == [line.partition("=")[0] for line in listed.splitlines()]
    assert "vqa" in json.loads(CliRunner().invoke(app, ["recipes", "--json"]).stdout)["recipes"]
    assert "optimisation.arguments.label_smoothing_factor=0.0\n" in listed
    assert "optimisation.learning_rate=" in listed
    assert "arguments.learning_rate" not in listed


def test_ours_is_theirs_with_two_factors():
    names = {item.name for item in fields(RunArguments)} - {item.name for item in fields(TrainingArguments)}
    assert names == {"fusion_factor", "head_factor"}


def test_checks_take_no_device():
    """A launched process checks its run before it joins the others, which taking a device would do."""
    PartialState._reset_state()
    require_possible(resolve("vqa", ["data.folder=x", "optimisation.arguments.optim=sgd"]))
    assert PartialState._shared_state == {}
