"""The paper's own commands, translated: the arguments of its scripts, and the recipe and values that they mean here.

`vkood_vilt/train_vilt.py` accepts names and key=value in the manner of METER's; `vkood_blip/train_vqa.py` options and a
YAML file in the manner of BLIP's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vkood.spelling import nearest
from vkood.train.run import RunError
from vkood.train.settings import read_yaml

_TASKS = {
    "task_mlm_itm_clip_bert": "pretrain",
    "task_finetune_vqa_clip_bert": "vqa",
    "task_finetune_nlvr2_clip_bert": "nlvr2",
    "task_finetune_irtr_coco_clip_bert": "retrieval-coco",
    "task_finetune_irtr_f30k_clip_bert": "retrieval-flickr30k",
}
_NAMES = {
    "clip16": "clip16",
    "clip32": "clip32",
    "swin32_base224": "swin-base-224",
    "swin32_base384": "swin-base-384",
    "swin32_large384": "swin-large-384",
    "text_roberta": "text-roberta",
    "text_roberta_large": "text-roberta-large",
    "text_bert": "text-bert",
    "clip_randaug": "randaug",
    "imagenet_randaug": "randaug",
}
_KEYS = {
    "data_root": "data.folder",
    "num_gpus": "num_gpus",
    "num_nodes": "num_nodes",
    "per_gpu_batchsize": "optimisation.device_batch_size",
    "batch_size": "optimisation.batch_size",
    "load_path": "model.checkpoint",
    "image_size": "model.image_size",
    "max_epoch": "optimisation.epochs",
    "max_steps": "optimisation.steps",
    "learning_rate": "optimisation.learning_rate",
    "lr_mult_head": "optimisation.head_factor",
    "lr_mult_cross_modal": "optimisation.fusion_factor",
    "weight_decay": "optimisation.weight_decay",
    "num_workers": "data.workers",
    "seed": "optimisation.seed",
    "log_dir": "output",
    "max_text_len": "data.text_length",
    "draw_false_text": "options.false_texts",
}
_YAML_KEYS = {
    "vqa_root": "data.folder",
    "pretrained": "model.checkpoint",
    "image_size": "model.image_size",
    "batch_size_train": "optimisation.device_batch_size",
    "init_lr": "optimisation.learning_rate",
    "weight_decay": "optimisation.weight_decay",
    "max_epoch": "optimisation.epochs",
    "k_test": "options.k",
    "inference": "options.inference",
    "adapter_size": "model.adapter_size",
    "vit_grad_ckpt": "model.gradient_checkpointing",
}
_TEST_TABLES = ["vqav2_test", "vqav2_test-dev"]


@dataclass
class Translation:
    """A command line of `vkood train`.

    Attributes:
        recipe: The recipe.
        words: Presets and key=value, after it.
    """

    recipe: str
    words: list[str] = field(default_factory=list)

    @property
    def arguments(self) -> list[str]:
        """The command line after `vkood`."""
        return ["train", self.recipe, *self.words]


def from_vilt(arguments: Sequence[str]) -> Translation:
    """Translate the arguments of `train_vilt.py`.

    Args:
        arguments: After the script's name; METER's "with" before them is fine.

    Raises:
        RunError: If an argument is unknown, a space is missing between two of them, or no task is named.
    """
    words = [word for word in arguments if word != "with"]
    recipes = [_TASKS[word] for word in words if word in _TASKS]
    translation = Translation("")
    test_only = False
    for word in words:
        key, equals, value = word.partition("=")
        if word in _TASKS:
            continue
        if equals and key == "test_only":
            test_only = value.lower() in ("true", "1")
        elif equals and key in _KEYS:
            _require_space(word, value)
            translation.words.append(f"{_KEYS[key]}={value}")
        elif word in _NAMES:
            translation.words.insert(0, _NAMES[word])
        elif equals and "." in key:  # keys of ours may stand beside the paper's
            translation.words.append(word)
        else:
            near = nearest(key, [*_TASKS, *_NAMES, *_KEYS, "test_only"], cutoff=0.5)
            hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise RunError(f"{word!r} is neither a name nor a key of the paper's command.{hint}")
    if len(recipes) != 1:
        raise RunError(f"one task must be named, of {', '.join(_TASKS)}; got {len(recipes)}.")
    translation.recipe = recipes[0]
    if test_only:
        tables = f"data.test=[{','.join(_TEST_TABLES)}]" if translation.recipe == "vqa" else None
        translation.words += ["evaluate_only=true", *([tables] if tables else [])]
        if not any(word.startswith("output=") for word in translation.words):
            translation.words.append("output=results")
    return translation


def from_blip(config: str | Path, output: str, *, evaluate: bool, changes: Sequence[str] = ()) -> Translation:
    """Translate the options of `train_vqa.py`.

    Args:
        config: The YAML file, with BLIP's keys.
        output: The folder for results.
        evaluate: Whether to evaluate only: the best model in the folder, if there is one, or else the file's
            `pretrained`.
        changes: key=value of ours, which win.

    Raises:
        RunError: If the file cannot be read, or a key in it is unknown.
    """
    values = read_yaml(config)
    translation = Translation("blip-vqa", [f"output={output}"])
    for key, value in values.items():
        if key not in _YAML_KEYS:
            near = nearest(str(key), _YAML_KEYS, cutoff=0.5)
            alike = " or ".join(map(repr, near))
            hint = f" Did you mean {alike}?" if near else f" There are {', '.join(_YAML_KEYS)}."
            raise RunError(f"{str(config)!r} has the key {key!r}, which is unknown.{hint}")
        if value is not None:
            translation.words.append(f"{_YAML_KEYS[key]}={value}")
    if values.get("adapter_size") is not None:
        translation.words.append("model.freeze_towers=true")  # what adapters are for
    if evaluate:
        best = Path(output) / "best"
        translation.words += ["evaluate_only=true", f"data.test=[{','.join(_TEST_TABLES)}]"]
        if best.is_dir():
            translation.words.append(f"model.checkpoint={best}")
        translation.words.append(f"output={Path(output) / 'results'}")
    translation.words += changes
    return translation


def _require_space(word: str, value: str) -> None:
    """Refuse two words without a space between them, as on the published page."""
    for name in (*_TASKS, *_NAMES):
        if value != name and value.endswith(name) and re.fullmatch(r"[\w./-]*?\d", value[: -len(name)]):
            cut = word[: -len(name)]
            raise RunError(f"a space is missing in {word!r}: write {cut + ' ' + name!r}.")
