"""Folders of `transformers`' BLIP give its numbers, where both begin a text that reads an image with "[ENC]"."""

import json
import shutil
from typing import Any

import pytest
import torch
from torch.testing import assert_close
from transformers import (
    BlipConfig,
    BlipForConditionalGeneration,
    BlipForImageTextRetrieval,
    BlipForQuestionAnswering,
)

from vkood.models import (
    BlipVkoodForImageTextRetrieval,
    BlipVkoodForVisualQuestionAnswering,
    BlipVkoodForVisualReasoning,
)
from vkood.models.convert import CheckpointError, CheckpointReport, load_checkpoint

VOCABULARY = 50


def config(image_width):
    text = {
        "vocab_size": VOCABULARY,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 40,
        "encoder_hidden_size": image_width,
        "bos_token_id": 48,
        "sep_token_id": 3,
        "eos_token_id": 3,
        "pad_token_id": 0,
        "initializer_range": 0.3,
    }
    vision = {
        "hidden_size": image_width,
        "intermediate_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "image_size": 32,
        "patch_size": 8,
        "initializer_range": 0.3,
    }
    return BlipConfig(text_config=text, vision_config=vision, image_text_hidden_size=8)


def written(folder, kind, **options):
    torch.manual_seed(0)
    # The decoder of answers reads the text encoder's states with the same configuration, so widths must agree there.
    model = kind(config(24 if kind is BlipForImageTextRetrieval else 16)).eval()
    model.save_pretrained(folder, **options)
    return model


def load(folder, **options: Any) -> tuple[Any, CheckpointReport]:
    return load_checkpoint(folder, **options)


def batch():
    ids = torch.tensor([[VOCABULARY - 1, 5, 6, 7, 3], [VOCABULARY - 1, 8, 9, 3, 0]])
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    return {"input_ids": ids, "attention_mask": (ids != 0).long(), "pixel_values": images}


@torch.no_grad()
def test_question_answering(tmp_path):
    theirs: Any = written(tmp_path / "a", BlipForQuestionAnswering)
    model, report = load(tmp_path / "a")
    assert isinstance(model, BlipVkoodForVisualQuestionAnswering)
    assert report.task == "vqa"
    assert not report.of("resized")
    assert "vision_model.embeddings.class_embedding" in {key.name for key in report.of("loaded")}
    answers = torch.tensor([[48, 10, 3], [48, 11, 3]])
    mask = batch()["attention_mask"]
    image = theirs.vision_model(batch()["pixel_values"]).last_hidden_state
    states = theirs.text_encoder(
        batch()["input_ids"], attention_mask=mask, encoder_hidden_states=image
    ).last_hidden_state
    computed = model(**batch(), labels=answers)
    assert_close(computed.image_states, image, atol=1e-5, rtol=1e-5)
    assert_close(computed.text_states, states, atol=1e-5, rtol=1e-5)
    unmasked = {"encoder_hidden_states": states, "encoder_attention_mask": torch.ones_like(mask)}
    logits = theirs.text_decoder(answers, **unmasked).logits
    assert_close(model.text_decoder(answers, **unmasked).logits, logits, atol=1e-5, rtol=1e-5)
    assert model.config.text_config.bos_token_id == 48
    assert model.config.encode_token_id == VOCABULARY - 1


@torch.no_grad()
def test_retrieval(tmp_path):
    theirs: Any = written(tmp_path / "a", BlipForImageTextRetrieval)
    model, report = load(tmp_path / "a")
    assert isinstance(model, BlipVkoodForImageTextRetrieval)
    assert {key.name.split(".")[0] for key in report.of("missing")} == {
        "blip",
        "temperature",
        "momentum",
        "queue",
    }
    expected = theirs(**batch()).itm_score
    features, image = model.image_features(batch()["pixel_values"])
    scores = model.match_scores(image, batch()["input_ids"], batch()["attention_mask"])
    assert_close(scores, expected, atol=1e-5, rtol=1e-5)
    similarity = features @ model.text_features(batch()["input_ids"], batch()["attention_mask"]).T
    assert_close(similarity, theirs(**batch(), use_itm_head=False).itm_score, atol=1e-5, rtol=1e-5)


def test_shards_and_pickles(tmp_path):
    model = written(tmp_path / "whole", BlipForQuestionAnswering)
    written(tmp_path / "shards", BlipForQuestionAnswering, max_shard_size="30KB")
    assert (tmp_path / "shards" / "model.safetensors.index.json").is_file()
    shutil.copytree(tmp_path / "whole", tmp_path / "pickle", ignore=shutil.ignore_patterns("*.safetensors"))
    torch.save(model.state_dict(), tmp_path / "pickle" / "pytorch_model.bin")
    states = [load(tmp_path / name)[0].state_dict() for name in ("whole", "shards", "pickle")]
    for name, part in states[0].items():
        assert all(torch.equal(part, other[name]) for other in states[1:]), name
    next((tmp_path / "shards").glob("model-00002*")).unlink()
    with pytest.raises(CheckpointError, match=r"There is no checkpoint at .*model-00002"):
        load(tmp_path / "shards")


def test_other_tasks_begin_with_new_heads(tmp_path):
    written(tmp_path / "a", BlipForQuestionAnswering)
    model, _ = load(tmp_path / "a", task="retrieval")
    assert isinstance(model, BlipVkoodForImageTextRetrieval)
    model, report = load(tmp_path / "a", task="nlvr2", image_size=48)
    assert isinstance(model, BlipVkoodForVisualReasoning)
    assert [key.name for key in report.of("resized")] == ["vision_model.embeddings.position_embedding"]


def changed(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    for name, value in changes.items():
        part, _, field = name.rpartition("__")
        (config[part] if part else config)[field] = value
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"model_type": "vilt"}, "is a ViLT, whose one transformer reads text and image together"),
        ({"model_type": "clip"}, "of the kind 'clip'"),
        ({"model_type": "blip-vkood"}, "is a model of ours already"),
        ({"model_type": 3}, "`model_type` in the folder's config.json must be a text"),
        ({"architectures": None}, "`architectures` .* must be BlipForQuestionAnswering or"),
        ({"architectures": ["BlipForConditionalGeneration"]}, "got .*BlipForConditionalGeneration"),
        ({"text_config": 3}, "`text_config` .* must be named values"),
        ({"text_config__num_hidden_layers": 3}, "`num_hidden_layers` is 3"),
        ({"text_config__num_hidden_layers": 10**9}, "`num_hidden_layers`"),
        ({"vision_config__num_hidden_layers": 2}, "`num_hidden_layers` is 2"),
        ({"text_config__num_attention_heads": "2"}, "`num_attention_heads` .* must be a whole number"),
        ({"vision_config__image_size": 64}, "`image_size` is 64"),
        ({"vision_config__hidden_act": "no"}, "`hidden_act`"),
    ],
)
def test_folders_that_are_refused(tmp_path, changes, problem):
    written(tmp_path / "a", BlipForQuestionAnswering)
    changed(tmp_path / "a", **changes)
    with pytest.raises(CheckpointError, match=problem):
        load(tmp_path / "a")


def test_damaged_folders(tmp_path):
    with pytest.raises(CheckpointError, match=r"that is a folder, but without the config\.json"):
        load(tmp_path)
    written(tmp_path / "a", BlipForQuestionAnswering)
    with pytest.raises(CheckpointError, match="must not be given with a folder"):
        load(tmp_path / "a", text_config={"num_attention_heads": 2})
    weights = tmp_path / "a" / "model.safetensors"
    data = weights.read_bytes()
    for content in (
        data[:-100],
        data[:50],
        b"",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n",
    ):
        weights.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"cannot be read as a checkpoint"):
            load(tmp_path / "a")
    weights.unlink()
    with pytest.raises(CheckpointError, match="has no weights: none of"):
        load(tmp_path / "a")
    (tmp_path / "a" / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read as JSON"):
        load(tmp_path / "a")
    written(tmp_path / "b", BlipForConditionalGeneration)
    with pytest.raises(CheckpointError, match="`architectures`"):
        load(tmp_path / "b")
