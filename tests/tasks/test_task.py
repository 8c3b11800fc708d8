"""The tasks: their options are those of runs, and each says what it needs."""

from dataclasses import fields

import pytest

from vkood import models
from vkood.models.loading import StrictlyLoadedModel
from vkood.tasks import TASKS, AnsweringTask, GenerativeAnsweringTask, ReasoningTask, Task
from vkood.train.evaluation import tasks_of_models
from vkood.train.families import FAMILIES
from vkood.train.run import FAMILY_NAMES, Run, RunError, TaskOptions, require_possible, task_of, with_task


def test_options_are_those_of_runs():
    """Each option of a run is one of a task, with the same default."""
    of_tasks = {item.name: item.default for task in TASKS.values() for item in fields(task)}
    del of_tasks["family"], of_tasks["answers"]
    assert of_tasks == {item.name: item.default for item in fields(TaskOptions)}


def test_each_model_with_a_head_has_one_task():
    heads = {
        name
        for name in models.__all__
        if "VkoodFor" in name and issubclass(getattr(models, name), StrictlyLoadedModel)
    }
    assert set(tasks_of_models()) == heads
    assert sum(len(task.models) for task in TASKS.values()) == len(heads)


def test_families():
    assert tuple(FAMILIES) == FAMILY_NAMES
    for task in TASKS.values():
        for family, model in task.models.items():
            assert issubclass(model.config_class, FAMILIES[family].config_class)
    with pytest.raises(ValueError, match=r"no model in the family 'blip': `model.family` must be two-stream"):
        AnsweringTask(family="blip")
    assert ReasoningTask(family="blip").model_class is models.BlipVkoodForVisualReasoning


@pytest.mark.parametrize("name", ["vqa", "blip-vqa", "pretrain", "nlvr2", "blip-retrieval", ""])
def test_a_run_names_a_task_and_a_family(name):
    run = Run(task=name)
    run.data.folder, run.data.train = "x", ["a"]
    with pytest.raises(RunError, match=r"`task` must be one of answering, .*`model.family`\); got "):
        require_possible(run)


def test_a_family_without_a_model_is_refused():
    with pytest.raises(
        RunError, match="the task generative-answering has no model in the family 'two-stream'"
    ):
        task_of(Run(task="generative-answering"))


def test_answers_to_rank_are_needed():
    with pytest.raises(ValueError, match=r"no table has the answers to rank"):
        GenerativeAnsweringTask().complete(None)
    GenerativeAnsweringTask(inference="generate").complete(None)


def unnamed(**variables):
    """A task class that has these class variables alone."""
    return type("Unfinished", (Task,), variables)


@pytest.mark.parametrize(
    ("missing", "what"),
    [
        ("name", "its name"),
        ("metric", "the number by which"),
        ("models", "the class of its models"),
    ],
)
def test_a_task_class_has_what_every_task_must(missing, what):
    variables = {"name": "own", "metric": "accuracy", "models": {"two-stream": object}}
    unnamed(**variables)()
    del variables[missing]
    with pytest.raises(
        TypeError, match=f"Unfinished must have a class variable `{missing}`, {what}.*got None"
    ):
        unnamed(**variables)()


@pytest.mark.usefixtures("unchecked")
def test_a_run_takes_a_task_not_its_name_or_class():
    with pytest.raises(TypeError, match="`task` must be a task, not its name; got 'reasoning'"):
        with_task(Run(), "reasoning")
    with pytest.raises(TypeError, match=r"`task` must be of type Task; got .* Call it: `ReasoningTask\(\)`"):
        with_task(Run(), ReasoningTask)


def test_the_families_of_a_run_and_its_task_agree():
    blip = Run()
    blip.model.family = "blip"
    assert with_task(Run(), ReasoningTask(family="blip")).model.family == "blip"
    with pytest.raises(
        RunError, match=r"`model.family` is 'blip', but .* make the task with `family='blip'`"
    ):
        with_task(blip, ReasoningTask())
    with pytest.raises(RunError, match="it has models in two-stream only"):
        with_task(blip, AnsweringTask())


def test_a_task_class_names_a_kind_of_tables():
    variables = {"name": "own", "metric": "accuracy", "models": {"two-stream": object}}
    with pytest.raises(
        TypeError, match=r"`table_kind` of the task class Unfinished must be one of .*; got 'caption'"
    ):
        unnamed(table_kind="caption", **variables)()
