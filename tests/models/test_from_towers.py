"""Models of pretrained towers: every kind, from a folder, at any size of image."""

import pytest
import torch
from torch.testing import assert_close
from transformers import (
    AutoConfig,
    AutoModel,
    BertConfig,
    CLIPConfig,
    CLIPVisionConfig,
    Dinov2Config,
    Dinov2WithRegistersConfig,
    ModernBertConfig,
    RobertaConfig,
    SiglipVisionConfig,
    SwinConfig,
    ViTConfig,
)

from vkood.models import VkoodConfig, VkoodForVisualQuestionAnswering, VkoodForVisualReasoning, VkoodModel
from vkood.models.positions import resize_grid, resize_relative

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
PATCHES = {"image_size": 32, "patch_size": 8}
IMAGES = {
    "clip": CLIPVisionConfig(**SMALL, **PATCHES),
    "vit": ViTConfig(**SMALL, **PATCHES),
    "siglip": SiglipVisionConfig(**SMALL, **PATCHES),
    "dinov2": Dinov2Config(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, **PATCHES),
    "dinov2 with registers": Dinov2WithRegistersConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, **PATCHES
    ),
    "swin": SwinConfig(
        image_size=32, patch_size=2, embed_dim=8, depths=[2, 2], num_heads=[2, 2], window_size=4
    ),
}
TEXT = {"vocab_size": 60, **SMALL, "max_position_embeddings": 40}
TEXTS = {
    "bert": BertConfig(**TEXT),
    "roberta": RobertaConfig(**TEXT, pad_token_id=1),
    "modernbert": ModernBertConfig(
        **TEXT, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2
    ),
}
SMALL_FUSION = {
    "hidden_size": 16,
    "num_attention_heads": 2,
    "num_fusion_layers": 1,
    "num_labels": 5,
    "fact_dim": 6,
}


@pytest.fixture(name="folder")
def _folder(tmp_path):
    def save(config):
        torch.manual_seed(1)
        folder = tmp_path / config.model_type
        AutoModel.from_config(config).save_pretrained(folder)
        return folder

    return save


def given(size=32):
    generator = torch.Generator().manual_seed(0)
    return {
        "pixel_values": torch.randn(2, 3, size, size, generator=generator),
        "input_ids": torch.randint(5, 60, (2, 7), generator=generator),
        "attention_mask": torch.ones(2, 7, dtype=torch.long),
        "fact_features": torch.randn(2, 3, 6, generator=generator),
    }


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("text", TEXTS)
@torch.no_grad()
def test_towers_come_with_their_weights(folder, image, text):
    image_folder, text_folder = folder(IMAGES[image]), folder(TEXTS[text])
    model = VkoodForVisualQuestionAnswering.from_towers(image_folder, text_folder, **SMALL_FUSION)
    batch = given()
    assert model(**batch).logits.shape == (2, 5)
    whole = AutoModel.from_pretrained(text_folder).eval()
    expected = whole(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    assert_close(model.vkood.text_tower(batch["input_ids"], batch["attention_mask"]), expected)
    if image != "clip":
        expected = AutoModel.from_pretrained(image_folder).eval()(batch["pixel_values"]).last_hidden_state
        assert_close(model.vkood.image_tower(batch["pixel_values"]), expected)
    assert model.vkood.image_tower.has_class_token == (image not in ("siglip", "swin"))
    assert not any("pooler" in name or ".head." in name for name, _ in model.named_parameters())


@torch.no_grad()
def test_how_much_of_clip(folder):
    """METER's: all layers but the last, and the final norm on every token."""
    image, text = folder(IMAGES["clip"]), folder(TEXTS["bert"])
    whole = AutoModel.from_pretrained(image).eval()
    pixels = given()["pixel_values"]
    states = whole(pixels, output_hidden_states=True).hidden_states
    for layers, expected in (("meter", states[-2]), ("all", states[-1])):
        model = VkoodModel.from_towers(image, text, **SMALL_FUSION, clip_layers=layers)
        assert_close(model.image_tower(pixels), whole.post_layernorm(expected))
        assert model.config.image_config.num_hidden_layers == 2


@torch.no_grad()
def test_a_two_tower_model_gives_its_image_tower(tmp_path, folder):
    torch.manual_seed(0)
    config = CLIPConfig(
        vision_config=IMAGES["clip"].to_dict(), text_config={**SMALL, "vocab_size": 60, "projection_dim": 8}
    )
    clip = AutoModel.from_config(config).eval()
    clip.save_pretrained(tmp_path / "whole")
    model = VkoodModel.from_towers(
        tmp_path / "whole", folder(TEXTS["bert"]), **SMALL_FUSION, clip_layers="all"
    )
    weights = clip.vision_model.state_dict()
    for name, tensor in model.image_tower.encoder.state_dict().items():
        assert torch.equal(tensor, weights[name]), name


@pytest.mark.parametrize("image", [name for name in IMAGES if name != "swin"])
@pytest.mark.parametrize("size", [24, 36, 48])
@torch.no_grad()
def test_resized_once_is_resized_each_time(folder, image, size):
    """36 is not a multiple of the patch: the remainder is left out."""
    folders = folder(IMAGES[image]), folder(TEXTS["bert"])
    own = VkoodModel.from_towers(*folders, **SMALL_FUSION)
    built = VkoodModel.from_towers(*folders, **SMALL_FUSION, image_size=size)
    assert built.config.image_config.image_size == (32 if image.startswith("dinov2") else size)
    pixels = given(size)["pixel_values"]
    actual = built.image_tower(pixels)
    extra = 1 if built.image_tower.has_class_token else 0
    registers = 4 if "registers" in image else 0
    assert actual.shape[1] == (size // 8) ** 2 + extra + registers
    assert_close(actual, own.image_tower(pixels), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_swin_takes_other_sizes(folder):
    model = VkoodModel.from_towers(folder(IMAGES["swin"]), folder(TEXTS["bert"]), **SMALL_FUSION)
    assert model.image_tower(given(48)["pixel_values"]).shape == (2, 144, 16)


def test_saved_loaded_and_found_by_auto_classes(folder, tmp_path):
    model = VkoodForVisualReasoning.from_towers(
        folder(IMAGES["clip"]), folder(TEXTS["roberta"]), **SMALL_FUSION
    )
    model.save_pretrained(tmp_path / "model")
    loaded = VkoodForVisualReasoning.from_pretrained(tmp_path / "model")
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name
    assert isinstance(AutoModel.from_pretrained(tmp_path / "model"), VkoodModel)
    assert AutoConfig.from_pretrained(tmp_path / "model").num_images == 2


def test_new_weights_are_those_of_a_new_model(folder):
    model = VkoodModel.from_towers(folder(IMAGES["vit"]), folder(TEXTS["bert"]), **SMALL_FUSION)
    assert model.text_projection.weight.std().item() == pytest.approx(0.02, rel=0.3)
    assert not model.text_projection.bias.any()
    assert torch.equal(model.pooling.text.bias, torch.zeros(16))


def test_unknown_options(folder):
    with pytest.raises(ValueError, match=r"got `num_fusion_layer`; did you mean `num_fusion_layers`\?"):
        VkoodModel.from_towers("image", "text", num_fusion_layer=3)


def test_number_of_answers(tmp_path):
    assert VkoodConfig().num_labels == 3129
    for number in (1, 2, 7):
        VkoodConfig(num_labels=number).save_pretrained(tmp_path)
        assert VkoodConfig.from_pretrained(tmp_path).num_labels == number


def test_positions_that_are_no_grid():
    with pytest.raises(ValueError, match="a square grid of patches; got 5"):
        resize_grid(torch.zeros(6, 2), 3, 3, num_extra=1)
    with pytest.raises(ValueError, match="a square of relative positions; got 5"):
        resize_relative(torch.zeros(5, 2), 3)
    table = torch.randn(25, 2)
    assert resize_relative(table, 3) is table
    assert resize_relative(table, 5).shape == (81, 2)
