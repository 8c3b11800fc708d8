"""The tasks: their options are those of runs, and each says what it needs."""

from dataclasses import fields

import pytest

from vkood import models
from vkood.models.loading import StrictlyLoadedModel
from vkood.tasks import TASKS, AnsweringTask, GenerativeAnsweringTask, ReasoningTask
from vkood.train.evaluation import tasks_of_models
from vkood.train.families import FAMILIES
from vkood.train.run import FAMILY_NAMES, Run, RunError, TaskOptions, require_possible, task_of


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
