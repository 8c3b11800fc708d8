"""`vkood convert`."""

import json

import pytest
import torch
from typer.testing import CliRunner

from command_line import refusal
from oracles import FOLDER, needs_oracles
from vkood.cli import app
from vkood.models import VkoodForVisualQuestionAnswering

METER = FOLDER / "meter"
TEXT_CONFIG = ("--text-config", METER / "text_config_roberta-tiny.json")


def run(*arguments):
    return CliRunner().invoke(app, ["convert", *map(str, arguments)])


@needs_oracles
@torch.no_grad()
def test_a_checkpoint_becomes_a_folder(tmp_path):
    output = tmp_path / "model"
    result = run(METER / "vqa.ckpt", "--output", output, *TEXT_CONFIG)
    assert result.exit_code == 0, result.output
    assert "187 loaded, 0 resized, 15 missing, 6 unexpected" in result.stdout
    assert "loaded     vqa_classifier.3.bias -> answer_head.3.bias" in result.stdout
    told = json.loads((output / "conversion.json").read_text())
    assert {key["outcome"] for key in told} == {"loaded", "missing", "unexpected"}
    model = VkoodForVisualQuestionAnswering.from_pretrained(output)
    weights = torch.load(METER / "vqa.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(model.answer_head[3].bias, weights["vqa_classifier.3.bias"])
    again = run(METER / "vqa.ckpt", "--output", output, *TEXT_CONFIG, "--image-size", 96, "--quiet")
    assert again.exit_code == 0, again.output
    assert "1 resized" in again.stdout
    assert "vqa_classifier" not in again.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@needs_oracles
def test_other_folders_are_left_alone(tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("dear")
    refused = refusal(run(METER / "vqa.ckpt", "--output", tmp_path / "letters", *TEXT_CONFIG))
    assert "has other files" in refused
    (tmp_path / "file").write_text("")
    assert "is a file" in refusal(run(METER / "vqa.ckpt", "--output", tmp_path / "file", *TEXT_CONFIG))


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04"])
def test_no_checkpoint(tmp_path, content):
    path = tmp_path / "a.ckpt"
    path.write_bytes(content)
    assert "cannot be read as a checkpoint" in refusal(run(path, "--output", tmp_path / "model"))
    assert not (tmp_path / "model").exists()


def test_mistakes(tmp_path):
    assert "There is no checkpoint" in refusal(run(tmp_path / "none.ckpt", "--output", tmp_path / "model"))
    assert "--image-size must be a number from 1" in refusal(
        run(tmp_path / "none.ckpt", "--output", tmp_path / "model", "--image-size", 0)
    )


@needs_oracles
def test_what_the_file_does_not_tell(tmp_path):
    refused = refusal(run(METER / "vqa.ckpt", "--output", tmp_path / "model"))
    assert "(--text-config)" in refused
    assert not (tmp_path / "model").exists()
