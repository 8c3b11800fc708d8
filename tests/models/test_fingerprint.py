"""An encoder's fingerprint is another one exactly when its vectors may be."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel

from support.tiny_vqa import tiny_tokenizer
from vkood.models import SentenceEncoder
from vkood.models.fingerprint import encoder_fingerprint


@pytest.fixture
def folder(tmp_path):
    """A tiny encoder."""
    built = tmp_path / "encoder"
    config = BertConfig(
        vocab_size=len(tiny_tokenizer()),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
    )
    BertModel(config).save_pretrained(built)
    tiny_tokenizer().save_pretrained(built)
    return built


def fingerprint(folder):
    return SentenceEncoder(folder).fingerprint


def test_a_copy_is_the_same_encoder(folder, tmp_path):
    before = fingerprint(folder)
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "README.md").write_text("Notes.")
    (copy / "results.json").write_text("{}")
    (copy / "training_args.bin").write_bytes(b"other things")
    (copy / "onnx").mkdir()
    (copy / "onnx" / "model.onnx").write_bytes(b"the same in another form")
    assert fingerprint(copy) == before == SentenceEncoder(str(folder)).fingerprint
    assert len(before) == 64


def test_weights(folder):
    before = fingerprint(folder)
    weights = load_file(folder / "model.safetensors")
    name = sorted(weights)[0]
    weights[name].view(-1)[0] = torch.nextafter(weights[name].view(-1)[0], torch.tensor(9.0))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert fingerprint(folder) != before


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_configuration_and_tokenizer(folder, file):
    before = fingerprint(folder)
    (folder / file).write_text((folder / file).read_text() + "\n")
    assert fingerprint(folder) != before


def test_pooling_and_vocabulary(folder):
    (folder / "vocab.txt").write_text("a\n")
    actual = {
        encoder_fingerprint(folder, files=files, pooling=pooling)
        for files in ((), ("vocab.txt",))
        for pooling in ("mean", "first")
    }
    assert len(actual) == 4


def test_weights_in_parts(folder):
    BertModel.from_pretrained(folder).save_pretrained(folder, max_shard_size="2KB")
    (folder / "model.safetensors").unlink(missing_ok=True)
    parts = sorted(folder.glob("model-*.safetensors"))
    assert len(parts) > 1
    before = fingerprint(folder)
    weights = load_file(parts[-1])
    save_file({name: weight + 1 for name, weight in weights.items()}, parts[-1], metadata={"format": "pt"})
    assert fingerprint(folder) != before


def test_no_weights(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="There are no weights in"):
        encoder_fingerprint(folder, files=(), pooling="mean")


def test_the_size_of_batches_is_no_part_of_it(folder):
    singly, batched = SentenceEncoder(folder, batch_size=1), SentenceEncoder(folder)
    assert singly.fingerprint == batched.fingerprint
    sentences = ["a kite flies.", "a mug.", "bees make honey."]
    torch.testing.assert_close(singly(sentences), batched(sentences))
