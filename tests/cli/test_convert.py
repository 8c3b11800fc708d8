"""`vkood convert`."""

import json

import pytest
import torch
from typer.testing import CliRunner

from support.command_line import refusal
from support.foreign_files import METER_TEXT, meter_content, meter_state, saved
from support.oracles import FOLDER
from vkood.cli import app
from vkood.models import VkoodForVisualQuestionAnswering

METER = FOLDER / "meter"
TEXT_CONFIG = ("--text-config", METER / "text_config_roberta-tiny.json")


def run(*arguments):
    return CliRunner().invoke(app, ["convert", *map(str, arguments)])


@torch.no_grad()
def test_a_checkpoint_becomes_a_folder(tmp_path):
    output = tmp_path / "model"
    result = run(METER / "vqa.ckpt", "--output", output, *TEXT_CONFIG)
    assert result.exit_code == 0, result.output
    assert "187 loaded, 0 resized, 11 missing, 6 unexpected" in result.stdout
    assert "loaded     vqa_classifier.3.bias -> answer_head.3.bias" in result.stdout
    keys = json.loads((output / "conversion.json").read_text())
    assert {key["outcome"] for key in keys} == {"loaded", "missing", "unexpected"}
    model = VkoodForVisualQuestionAnswering.from_pretrained(output)
    weights = torch.load(METER / "vqa.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(model.answer_head[3].bias, weights["vqa_classifier.3.bias"])
    again = run(METER / "vqa.ckpt", "--output", output, *TEXT_CONFIG, "--image-size", 96, "--quiet")
    assert again.exit_code == 0, again.output
    assert "1 resized" in again.stdout
    assert "vqa_classifier" not in again.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    record = json.loads(run(METER / "vqa.ckpt", "--output", output, *TEXT_CONFIG, "--json").stdout)
    assert record["keys"] == {"loaded": 187, "resized": 0, "missing": 11, "unexpected": 6}
    assert (record["task"], record["output"]) == ("vqa", str(output))


def test_ctrl_c_says_what_is_kept(tmp_path, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("vkood.models.convert.load_checkpoint", interrupted)
    result = run(METER / "vqa.ckpt", "--output", tmp_path / "model")
    assert result.exit_code == 130
    assert result.stderr.startswith("vkood: interrupted; nothing was written. Run the same command again")


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


def test_what_the_file_does_not_tell(tmp_path):
    refused = refusal(run(METER / "vqa.ckpt", "--output", tmp_path / "model"))
    assert "(--text-config)" in refused
    assert not (tmp_path / "model").exists()


def small(tmp_path, answers=3):
    """A small METER file, and the options that it takes."""
    config = tmp_path / "text.json"
    config.write_text(json.dumps(METER_TEXT))
    path = saved(tmp_path / "a.ckpt", meter_content(meter_state(answers=answers)))
    return path, "--text-config", config, "--output", tmp_path / "model"


@pytest.mark.parametrize(
    "content",
    [
        "yes\nno\nred\n",
        "\ufeffyes\r\nno\r\nred",
        '["yes", "no", "red"]',
        '{"yes": 0, "no": 1, "red": 2}',
        '{"0": "yes", "1": "no", "2": "red"}',
    ],
)
def test_answers_have_their_names(tmp_path, content):
    (tmp_path / "answers").write_text(content, encoding="utf-8", newline="")
    result = run(*small(tmp_path), "--answers", tmp_path / "answers", "--quiet")
    assert result.exit_code == 0, result.output
    assert "note: the image tower's 1 attention heads are a guess" in result.stdout
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["id2label"] == {"0": "yes", "1": "no", "2": "red"}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("yes\nno\n", "an answer for each of the 3 classes of the checkpoint's head; got 2"),
        ("yes\n\nred\n", "`answers[1]` must be a text that is not empty"),
        ('["yes", 3, "red"]', "--answers must list texts; item 1"),
        ('["yes", "no"', "cannot be read as JSON"),
        ('{"yes": 0, "no": 0, "red": 1}', "must number its answers from 0"),
        ('{"yes": 0.5}', "must number its answers from 0"),
        ('{"yes": [0]}', "must number its answers from 0"),
    ],
)
def test_answers_that_do_not_fit(tmp_path, content, problem):
    (tmp_path / "answers").write_text(content)
    assert problem in refusal(run(*small(tmp_path), "--answers", tmp_path / "answers"))
    assert not (tmp_path / "model").exists()


def test_only_an_earlier_conversion_is_replaced(tmp_path):
    """A model that was trained on, or that someone has put a tokenizer beside, is not."""
    arguments = small(tmp_path)
    assert run(*arguments).exit_code == 0
    assert run(*arguments).exit_code == 0
    (tmp_path / "model" / "tokenizer.json").write_text("{}")
    assert "has other files, such as 'tokenizer.json'" in refusal(run(*arguments))
    (tmp_path / "model" / "tokenizer.json").unlink()
    (tmp_path / "model" / "model.safetensors").rename(tmp_path / "weights")
    (tmp_path / "model" / "model.safetensors").mkdir()
    assert "has other files, such as 'model.safetensors'" in refusal(run(*arguments))
    (tmp_path / "model" / "model.safetensors").rmdir()
    (tmp_path / "weights").rename(tmp_path / "model" / "model.safetensors")
    (tmp_path / "model" / "conversion.json").unlink()
    assert "has other files" in refusal(run(*arguments))
    assert (tmp_path / "model" / "model.safetensors").is_file()


def test_a_failed_conversion_leaves_the_earlier_one(tmp_path, monkeypatch):
    arguments = small(tmp_path)
    assert run(*arguments).exit_code == 0
    before = (tmp_path / "model" / "model.safetensors").read_bytes()

    def full(self, folder):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(VkoodForVisualQuestionAnswering, "save_pretrained", full)
    assert "No space left on device" in refusal(run(*arguments))
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.ckpt", "model", "text.json"]


def test_folders_that_the_output_lies_in_are_made(tmp_path):
    *arguments, _ = small(tmp_path)
    assert run(*arguments, tmp_path / "runs" / "of" / "model").exit_code == 0
    assert (tmp_path / "runs" / "of" / "model" / "config.json").is_file()
    assert "--output must be in a folder to write to" in refusal(
        run(*arguments, tmp_path / "a.ckpt" / "model")
    )
