# pyright: reportMissingImports=false

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from support.every_model import two_stream_config
from support.tiny_pictures import image_processor, picture
from support.tiny_vqa import tiny_tokenizer

pytest.importorskip("lmms_eval.api.model", reason="needs the extra `lmms-eval`", exc_type=ImportError)

from lmms_eval.api.instance import Instance
from lmms_eval.models.registry_v2 import ModelRegistryV2

from vkood import VkoodForVisualQuestionAnswering, VkoodProcessor, load_model
from vkood.integrations.lmms_eval import MANIFEST

PAGE = Path(__file__).parents[2] / "docs" / "frameworks.md"


@pytest.fixture(name="folder")
def _folder(tmp_path):
    config = two_stream_config(
        fact_dim=384,
        num_labels=7,
        id2label={n: f"answer {n}" for n in range(7)},
        initializer_range=0.2,  # so that answers differ
    )
    config.text_config.vocab_size = len(tiny_tokenizer())
    torch.manual_seed(0)
    VkoodForVisualQuestionAnswering(config).save_pretrained(tmp_path)
    VkoodProcessor(image_processor(), tiny_tokenizer()).save_pretrained(tmp_path)
    return str(tmp_path)


def test_answers_of_a_task(folder):
    registry = ModelRegistryV2()
    registry.register_manifest(MANIFEST)
    kind = registry.get_model_class("vkood")
    model = kind.create_from_arg_string(f"pretrained={folder}", {"batch_size": 1, "device": "cpu"})
    model.task_dict = {"vqa": {"val": [{"image": picture()}]}}
    prompt = "is there a kite?\nAnswer the question using a single word or phrase."
    arguments = (prompt, {}, lambda row: [row["image"]], 0, "vqa", "val")
    request = Instance("generate_until", arguments, 0, {"task": "vqa", "doc_id": 0, "repeats": 1})
    (answer,) = model.generate_until([request])
    expected, other = (
        model._model.explain(picture(), text).answers[0][0] for text in ("is there a kite?", prompt)
    )
    assert answer == expected != other
    for method in (model.loglikelihood, model.generate_until_multi_round):
        with pytest.raises(NotImplementedError, match="Use a"):
            method([request])


@pytest.mark.slow
def test_command_line_of_the_docs(folder, tmp_path):
    """A table of results is printed; the model's own answers are right, another is wrong."""
    page = PAGE.read_text(encoding="utf-8")
    task, rows, command = (
        re.search(rf"```{kind}\n(.*?)```", page, flags=re.DOTALL)[1] for kind in ("yaml", "json", "bash")
    )
    here = tmp_path / "here"
    for name in ("tasks", "pictures"):
        (here / name).mkdir(parents=True)
    (here / "tasks" / "questions.yaml").write_text(task)
    model: Any = load_model(folder).eval()
    expected = []
    with (here / "pictures" / "metadata.jsonl").open("w") as file:
        for number, row in enumerate(map(json.loads, rows.splitlines())):
            image = picture().rotate(90 * number)
            image.save(here / "pictures" / row["file_name"])
            expected.append(model.explain(image, row["question"]).answers[0][0])
            file.write(json.dumps(row | {"answer": expected[-1] if number else "no such answer"}) + "\n")

    assert len({*expected}) > 1
    words = shlex.split(command.replace("FOLDER", folder))
    assert words[0] == "lmms-eval"
    done = subprocess.run(
        [sys.executable, "-m", "lmms_eval", *words[1:], "--output_path", "results", "--log_samples"],
        cwd=here,
        env=os.environ
        | {"HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    right = (len(expected) - 1) / len(expected)
    assert re.search(
        rf"^\|questions *\|none *\| *0\|exact_match\|.*\|{right:.4g} *\|", done.stdout, re.MULTILINE
    )
    (samples,) = (here / "results").glob("*/*_samples_questions.jsonl")
    assert [json.loads(line)["filtered_resps"] for line in samples.read_text().splitlines()] == expected
