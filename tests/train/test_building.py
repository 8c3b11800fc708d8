"""A run's model: its configuration is checked, its size bounded, and no weight of a folder is lost in silence."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import DistilBertConfig, DistilBertModel, ResNetConfig, ResNetModel

from vkood.models import VkoodForVisualQuestionAnswering
from vkood.recipes.resolve import resolve
from vkood.train.building import build, with_lora
from vkood.train.run import RunError, task_of
from vkood.train.training import require_same_weights


def built(recipe, *changes):
    """The tiny model of a recipe; its tables are not looked at."""
    run = resolve(recipe, ["tiny", "data.folder=unused", "num_gpus=0", *changes])
    task = task_of(run)
    return build(run, replace(task, answers=("a", "b")) if recipe == "vqa" else task)


def saved(folder, recipe):
    """A new model with its processor, as a run leaves it."""
    whole = built(recipe)
    whole.model.save_pretrained(folder)
    whole.processor.save_pretrained(folder)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            ("model.config.num_fusion_layers=1000000000",),
            "`num_fusion_layers` must be a whole number from 1 to 1,000",
        ),
        (
            ("model.config.hidden_size=64000", "model.config.num_fusion_layers=90"),
            "at most 1,000,000,000 may be new",
        ),
        (("model.config.num_fusion_layer=2",), "got `num_fusion_layer`; did you mean `num_fusion_layers`"),
        (("model.config.gate={joint_dim: -1}",), "`gate`: `joint_dim` must be a whole number"),
        (("model.config.dropout=much",), "`dropout` must be a finite number from 0 to 1"),
        (("model.config.image_config={}",), "got `image_config`"),
    ],
)
def test_fields_of_the_configuration(changes, says):
    with pytest.raises(RunError, match=says):
        built("vqa", *changes)


def test_what_a_pretrained_model_may_not_lose(tmp_path):
    saved(tmp_path, "pretrain")
    start = f"model.checkpoint={tmp_path}"
    for change in ("hidden_size=32", "num_fusion_layers=3", "intermediate_size=32"):
        with pytest.raises(
            RunError, match=r"pretrained weights, such as '.*', do not fit what the run asks for"
        ):
            built("nlvr2", start, f"model.config.{change}")
    described = built("nlvr2", start, "model.config.gate={joint_dim: 4}").summary
    assert "new weights: reasoning_head, outlier_layer" in described


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda weights: {f"other.{name}": tensor for name, tensor in weights.items()},
            "they lack .* tensors, '",
        ),
        (
            lambda weights: weights | {"vkood.pooling.text.bias": torch.full((64,), torch.nan)},
            "NaN or infinite",
        ),
        (
            lambda weights: weights | {"vkood.pooling.text.bias": torch.zeros(3)},
            r"is \(3,\) where the model has",
        ),
        (lambda weights: weights | {"more": torch.zeros(3)}, "they have beyond the model's 1"),
    ],
)
def test_a_damaged_folder_is_neither_trained_nor_evaluated(tmp_path, change, says):
    saved(tmp_path, "pretrain")
    weights = change(load_file(tmp_path / "model.safetensors"))
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    for more in ((), ("evaluate_only=true",)):
        with pytest.raises(RunError, match=f"cannot be loaded: .*{says}"):
            built("pretrain", f"model.checkpoint={tmp_path}", *more)


def test_a_checkpoint_has_exactly_the_models_weights(tmp_path):
    model = built("pretrain").model
    path = tmp_path / "model.safetensors"
    whole = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_file(whole, path)
    require_same_weights(path, model)
    name = "vkood.pooling.text.bias"
    for value, says in (
        (None, f"other weights than the model: {name} is missing there, and .* in the model"),
        (torch.zeros(3), rf"other weights than the model: {name} is \(3,\) there"),
        (torch.full((64,), torch.inf), f"'{name}' has 64 values of 64 that are NaN or infinite"),
    ):
        save_file({key: part for key, part in (whole | {name: value}).items() if part is not None}, path)
        with pytest.raises(RunError, match=says):
            require_same_weights(path, model)


def test_lora_needs_layers_that_it_knows(tmp_path):
    image = ResNetModel(
        ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    )
    text = DistilBertModel(DistilBertConfig(vocab_size=30_522, dim=8, n_heads=2, n_layers=1, hidden_dim=8))
    for tower in (image, text):
        tower.save_pretrained(tmp_path / type(tower).__name__)
    model = VkoodForVisualQuestionAnswering.from_towers(
        tmp_path / "ResNetModel",
        tmp_path / "DistilBertModel",
        hidden_size=8,
        num_attention_heads=2,
        num_fusion_layers=1,
    )
    with pytest.raises(RunError, match=r"`model.lora_rank` needs towers with attentions"):
        with_lora(model, 2)


def test_a_folder_without_a_processor(tmp_path):
    built("pretrain").model.save_pretrained(tmp_path)
    with pytest.raises(
        RunError, match=r"has no processor, and those of `model.image` and `model.text` cannot be had"
    ):
        built("pretrain", f"model.checkpoint={tmp_path}", "model.image=/nowhere", "model.text=/nowhere")
