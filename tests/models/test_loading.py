"""What is loaded runs no code, is of a plausible size, and has all its weights from its files, or is refused."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    AutoModelForVisualQuestionAnswering,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

from support.every_model import KINDS
from support.tiny_vqa import tiny_tokenizer
from vkood.models import (
    SentenceEncoder,
    VkoodForVisualQuestionAnswering,
    VkoodModel,
)
from vkood.models.loading import (
    LoadingError,
    load_config,
    load_encoder,
    load_image_processor,
    load_model,
    load_tokenizer,
    local_folder,
)
from vkood.pipelines import VkoodProcessor

SMALL = {"hidden_size": 8, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 8}
SMALL_FUSION = {"hidden_size": 8, "num_attention_heads": 2, "num_fusion_layers": 1}


@pytest.fixture(name="encoder")
def _encoder(tmp_path):
    """A text encoder of four layers with its tokenizer."""
    folder = tmp_path / "encoder"
    BertModel(BertConfig(vocab_size=len(tiny_tokenizer()), **SMALL)).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(name="image")
def _image(tmp_path):
    folder = tmp_path / "image"
    ViTModel(ViTConfig(image_size=32, patch_size=8, **SMALL)).save_pretrained(folder)
    return folder


@pytest.fixture(name="model")
def _model(tmp_path):
    """A saved model of ours."""
    folder = tmp_path / "model"
    KINDS["two-stream answers"].new().save_pretrained(folder)
    return folder


def change_json(path, **changes):
    path.write_text(json.dumps((json.loads(path.read_text()) if path.exists() else {}) | changes))


def change_weights(folder, change):
    weights = load_file(folder / "model.safetensors")
    save_file(change(weights), folder / "model.safetensors", metadata={"format": "pt"})


def without(part):
    return lambda weights: {name: tensor for name, tensor in weights.items() if part not in name}


def renamed(weights):
    return {f"other.{name}": tensor for name, tensor in weights.items()}


def of_type(dtype):
    return lambda weights: {
        name: tensor.to(dtype) if "fact_projection.1.weight" in name else tensor
        for name, tensor in weights.items()
    }


def with_value(value):
    def change(weights):
        name = sorted(name for name in weights if name.endswith("weight"))[-1]
        weights[name].view(-1)[3] = value
        return weights

    return change


# --- code


@pytest.fixture(name="code")
def _code(monkeypatch, tmp_path):
    """Code that would leave a file, and a terminal that would say yes."""
    monkeypatch.setattr("builtins.input", lambda *arguments: "y")
    source = f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Own: pass\n"
    yield source
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("config.json", {"auto_map": {"AutoConfig": "own.Own", "AutoModel": "own.Own"}, "model_type": "own"}),
        ("config.json", {"auto_map": {"AutoTokenizer": ["own.Own", None]}}),
        ("config.json", {"text_config": {"auto_map": {"AutoModel": "own.Own"}}}),
        ("config.json", {"attn_implementation": "somebody/kernel"}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["own.Own", None]}}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": "somebody/else--own.Own"}}),
    ],
)
def test_a_folder_with_code_of_its_own(encoder, code, file, changes):
    (encoder / "own.py").write_text(code)
    change_json(encoder / file, **changes)
    loads = [load_tokenizer, SentenceEncoder]
    loads += [load_config, load_encoder] if file == "config.json" else []
    for load in loads:
        with pytest.raises(LoadingError, match=rf"{file}' asks for code of its own \(`\w+`\)"):
            load(encoder)


@pytest.mark.parametrize(
    "file", ["config.json", "preprocessor_config.json", "processor_config.json", "tokenizer_config.json"]
)
def test_a_saved_model_with_code_of_its_own(model, code, file):
    (model / "own.py").write_text(code)
    change_json(model / file, auto_map={"AutoProcessor": "own.Own", "AutoImageProcessor": "own.Own"})
    loads = [load_model, VkoodProcessor.from_pretrained]
    loads += [VkoodForVisualQuestionAnswering.from_pretrained]
    loads += [load_image_processor] if file != "tokenizer_config.json" else []
    for load in loads:
        with pytest.raises(LoadingError, match=f"{file}' asks for code of its own"):
            load(model)


OWN = """
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, ViTConfig, ViTImageProcessor, ViTModel

class TextConfig(BertConfig):
    model_type = "own_text"

class Text(BertModel):
    config_class = TextConfig

class ImageConfig(ViTConfig):
    pass

class Image(ViTModel):
    config_class = ImageConfig

class Tokenizer(PreTrainedTokenizerFast):
    pass

class ImageProcessor(ViTImageProcessor):
    pass
"""


def test_code_that_is_trusted(encoder, image, monkeypatch, tmp_path):
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("sys.path", list(sys.path))
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(image)
    # `transformers` converts the names of weights for its own classes alone.
    vit = ViTModel.from_pretrained(image)
    save_file(vit.state_dict(), image / "model.safetensors", metadata={"format": "pt"})
    for folder, kind in ((encoder, "Text"), (image, "Image")):
        (folder / "own.py").write_text(OWN)
        names = {"AutoConfig": f"own.{kind}Config", "AutoModel": f"own.{kind}"}
        change_json(folder / "config.json", auto_map=names)
    change_json(encoder / "config.json", model_type="own_text")
    change_json(encoder / "tokenizer_config.json", auto_map={"AutoTokenizer": [None, "own.Tokenizer"]})
    change_json(image / "preprocessor_config.json", auto_map={"AutoImageProcessor": "own.ImageProcessor"})
    model = VkoodModel.from_towers(image, encoder, image_size=64, trust_remote_code=True, **SMALL_FUSION)
    processor = VkoodProcessor.from_towers(image, encoder, image_size=64, trust_remote_code=True)
    sentences = SentenceEncoder(encoder, trust_remote_code=True)
    parts = (
        model.image_tower.encoder,
        model.text_tower.encoder,
        processor.tokenizer,
        processor.image_processor,
    )
    assert [type(part).__name__ for part in parts] == ["Image", "Text", "Tokenizer", "ImageProcessor"]
    assert model(**processor(np.zeros((8, 8, 3), np.uint8), "a")).text_states.isfinite().all()
    (encoder / "own.py").write_text(f"{OWN}\n")
    assert SentenceEncoder(encoder, trust_remote_code=True).fingerprint != sentences.fingerprint
    for load in (VkoodModel.from_towers, VkoodProcessor.from_towers):
        with pytest.raises(LoadingError, match="asks for code of its own"):
            load(image, encoder)


def test_an_answer_may_be_called_auto_map(model):
    labels = {"auto_map": 0, "b": 1, "c": 2, "d": 3, "e": 4}
    change_json(model / "config.json", label2id=labels, id2label={i: a for a, i in labels.items()})
    assert load_model(model).config.id2label[0] == "auto_map"


def test_an_adapter_is_no_model(encoder):
    change_json(encoder / "adapter_config.json", base_model_name_or_path="somewhere/else", peft_type="LORA")
    with pytest.raises(LoadingError, match=r"adapter_config.json\), not a whole model: merge it"):
        SentenceEncoder(encoder)


def test_weights_outside_the_folder(encoder):
    (encoder / "model.safetensors").rename(encoder.parent / "elsewhere.safetensors")
    change_json(encoder / "model.safetensors.index.json", weight_map={"a": "../elsewhere.safetensors"})
    with pytest.raises(
        LoadingError, match=r"names '../elsewhere.safetensors', which is not a file beside it"
    ):
        load_encoder(encoder)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"size": {"height": {"a": 1}, "width": 32}}, "`size.height` must be a whole number"),
        ({"size": {"height": 2**31, "width": 32}}, "`size.height` must be a whole number"),
        ({"size": {"height": -1, "width": 32}}, "`size.height` must be a whole number"),
        ({"image_std": [0.0, 0.0, 0.0]}, "NaN or infinite"),
        ({"image_mean": ["x", 1, 1]}, "damaged"),
        ({"do_normalize": True, "image_mean": [[1], [2], [3]]}, "damaged"),
    ],
)
def test_an_image_processor_is_tried(image, changes, says):
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(image)
    change_json(image / "preprocessor_config.json", **changes)
    with pytest.raises(LoadingError, match=says):
        load_image_processor(image)


def test_a_tokenizer_is_tried(encoder):
    change_json(encoder / "tokenizer_config.json", pad_token=None)
    with pytest.raises(LoadingError, match="it has no padding token"):
        load_tokenizer(encoder)


@pytest.mark.parametrize("length", [float("nan"), [None], 0, "x"])
def test_a_tokenizer_of_implausible_length(encoder, length):
    change_json(encoder / "tokenizer_config.json", model_max_length=length)
    with pytest.raises(
        LoadingError, match=r"`model_max_length` must be a whole number|is missing or damaged"
    ):
        load_tokenizer(encoder)


def test_a_tokenizer_without_its_vocabulary(encoder):
    (encoder / "tokenizer.json").unlink()
    with pytest.raises(LoadingError, match="its vocabulary is missing"):
        load_tokenizer(encoder)


# --- weights


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (renamed, r"they lack [\d,]+ of the model's tensors, '.* and [\d,]+ more"),
        (
            without("fact_projection.1.weight"),
            "they lack 1 of the model's tensors, '.*fact_projection.1.weight'",
        ),
        (with_value(torch.nan), "has 1 values of .* that are NaN or infinite"),
        (of_type(torch.int64), "fact_projection.1.weight' holds whole numbers"),
        (of_type(torch.bool), "fact_projection.1.weight' holds whole numbers or truth values"),
        (with_value(-torch.inf), "has 1 values of .* that are NaN or infinite"),
    ],
)
def test_every_weight_of_a_model_comes_from_its_folder(tmp_path, kind, change, says):
    kind = KINDS[kind]
    kind.new().save_pretrained(tmp_path)
    change_weights(tmp_path, change)
    for load in (kind.model.from_pretrained, load_model):
        with pytest.raises(LoadingError, match=says):
            load(tmp_path)


def test_a_model_that_was_saved_under_an_earlier_name(tmp_path):
    model = KINDS["BLIP answers"].new()
    model.save_pretrained(tmp_path)
    change_json(tmp_path / "config.json", architectures=["BlipVkoodForQuestionAnswering"])
    assert type(load_model(tmp_path)) is type(model)


def test_weights_of_another_shape(model):
    change_json(model / "config.json", fact_dim=9)
    says = r"'vkood.fact_projection.0.bias' is \(12,\) where the model has \(9,\), and 3 more"
    for options in ({}, {"ignore_mismatched_sizes": True}):
        with pytest.raises(LoadingError, match=says):
            VkoodForVisualQuestionAnswering.from_pretrained(model, **options)


def test_whole_numbers_in_a_tower_whose_weights_have_other_names_in_files(encoder, image, tmp_path):
    VkoodModel.from_towers(image, encoder, fact_dim=4, **SMALL_FUSION).save_pretrained(tmp_path / "model")
    (name,) = (
        name
        for name in load_file(tmp_path / "model" / "model.safetensors")
        if ".0.attention.attention.query.weight" in name
    )
    assert name not in VkoodModel.from_pretrained(tmp_path / "model").state_dict()
    change_weights(tmp_path / "model", lambda weights: weights | {name: weights[name].long()})
    with pytest.raises(LoadingError, match=r"attention.query.weight' holds whole numbers"):
        load_model(tmp_path / "model")


def test_weights_that_are_left_over(model):
    change_weights(model, lambda weights: weights | {"unheard_of": torch.ones(1)})
    with pytest.raises(LoadingError, match="they have beyond the model's 1 tensors, such as 'unheard_of'"):
        load_model(model)
    assert isinstance(VkoodModel.from_pretrained(model), VkoodModel)  # without the head of the folder's model


def test_new_parts_where_they_are_asked_for(model, tmp_path):
    VkoodModel.from_pretrained(model).save_pretrained(tmp_path / "fusion")
    with pytest.raises(LoadingError, match=r"they lack 6 of the model's tensors, 'answer_head.0.bias'"):
        VkoodForVisualQuestionAnswering.from_pretrained(tmp_path / "fusion")
    loaded, report = VkoodForVisualQuestionAnswering.from_pretrained(
        tmp_path / "fusion", new_weights=["answer_head"], output_loading_info=True
    )
    assert {name.partition(".")[0] for name in report["missing_keys"]} == {"answer_head"}
    assert loaded.answer_head[0].weight.std() > 0


def test_all_weights_of_towers(encoder, image):
    VkoodModel.from_towers(
        image, encoder, fact_dim=4, hidden_size=8, num_attention_heads=2, num_fusion_layers=1
    )
    for folder, part in ((encoder, "encoder.layer.3."), (image, "layernorm.weight")):
        copy = shutil.copytree(folder, folder.with_name("half"))
        change_weights(copy, without(part))
        towers = [copy if tower == folder else tower for tower in (image, encoder)]
        with pytest.raises(LoadingError, match=f"they lack .*{part}"):
            VkoodModel.from_towers(*towers, fact_dim=4)
        shutil.rmtree(copy)


def test_half_of_an_encoder_of_facts(encoder):
    change_weights(encoder, lambda weights: without("layer.2.")(without("layer.3.")(weights)))
    with pytest.raises(LoadingError, match=r"they lack 32 of the model's tensors, 'encoder.layer.2."):
        SentenceEncoder(encoder)


def test_an_encoder_needs_no_pooler_and_no_head(encoder):
    torch.manual_seed(0)
    BertForMaskedLM(BertConfig(vocab_size=len(tiny_tokenizer()), **SMALL)).save_pretrained(encoder)
    whole, plain = SentenceEncoder(encoder), SentenceEncoder(encoder)
    assert torch.equal(whole(["a kite"]), plain(["a kite"]))


def test_pickled_weights(encoder):
    weights = load_file(encoder / "model.safetensors")
    before = SentenceEncoder(encoder)(["a kite"])
    (encoder / "model.safetensors").unlink()
    torch.save(weights, encoder / "pytorch_model.bin")
    assert torch.equal(SentenceEncoder(encoder)(["a kite"]), before)
    odd = {
        f"bert.{name}": tower.int() if name.endswith("1.output.dense.bias") else tower
        for name, tower in weights.items()
    }
    torch.save(odd, encoder / "pytorch_model.bin")
    with pytest.raises(
        LoadingError, match=r"'bert\.encoder\.layer\.1\.output\.dense\.bias' holds whole numbers"
    ):
        SentenceEncoder(encoder)
    torch.save({"weights": pytest.raises}, encoder / "pytorch_model.bin")
    with pytest.raises(LoadingError, match="missing or damaged"):
        SentenceEncoder(encoder)


# --- sizes and types


@pytest.mark.parametrize(
    "changes",
    [
        {"num_hidden_layers": 10**9},
        {"vocab_size": 10**12},
        {"hidden_size": 10**9},
        {"num_attention_heads": 0},
        {"num_hidden_layers": -1},
        {"hidden_size": "wide"},
        {"hidden_dropout_prob": float("nan")},
        {"vocab_size": 9_999_999, "hidden_size": 8_000},
        {"model_type": "unheard_of"},
        {"hidden_act": "unheard_of"},
        {"quantization_config": {"quant_method": "gptq"}},
    ],
)
def test_an_encoder_of_implausible_size_or_type(encoder, changes):
    change_json(encoder / "config.json", **changes)
    with pytest.raises(LoadingError, match=r"onfiguration (of the model )?in .*encoder'"):
        load_encoder(encoder)


def test_a_model_that_is_larger_than_its_weights(model):
    config = json.loads((model / "config.json").read_text())
    change_json(
        model / "config.json",
        text_config=config["text_config"] | {"vocab_size": 9_999_999},
        num_fusion_layers=1_000,
        hidden_size=1_024,
        intermediate_size=65_536,
    )
    with pytest.raises(LoadingError, match=r"describes a model of .* weights, of which its files have"):
        load_model(model)


@pytest.mark.parametrize(
    "changes",
    [{"size": {"height": 100_000, "width": 8}}, {"image_std": [0.0, 1.0, 1.0]}, {"crop_size": "large"}],
)
def test_an_image_processor_of_implausible_size(image, changes):
    ViTImageProcessor().save_pretrained(image)
    load_image_processor(image)
    change_json(image / "preprocessor_config.json", **changes)
    with pytest.raises(LoadingError, match=r"image processor in .* is missing or damaged: "):
        load_image_processor(image)


def test_encoders_of_the_wrong_kind(encoder, image, model):
    tiny_tokenizer().save_pretrained(image)
    with pytest.raises(LoadingError, match="image' takes no texts"):
        VkoodModel.from_towers(image, image, fact_dim=4)
    with pytest.raises(LoadingError, match="encoder' takes no images"):
        VkoodModel.from_towers(encoder, encoder, fact_dim=4)
    with pytest.raises(LoadingError, match="image' takes no sentences"):
        SentenceEncoder(image)
    tiny_tokenizer().save_pretrained(model)
    with pytest.raises(LoadingError, match="model' takes no sentences"):
        SentenceEncoder(model)


def test_a_tokenizer_of_another_encoder(encoder):
    more = tiny_tokenizer().get_vocab() | {"new": len(tiny_tokenizer())}
    type(tiny_tokenizer())(vocab=more).save_pretrained(encoder)
    with pytest.raises(LoadingError, match="its tokenizer has 64 tokens, of which it knows 63"):
        SentenceEncoder(encoder)


# --- files


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\xfe{\0}\0", b"[" * 20_000, b'{"model_type": NaN}']
)
def test_damaged_configurations(encoder, content):
    (encoder / "config.json").write_bytes(content)
    with pytest.raises(LoadingError, match=r"onfiguration"):
        load_encoder(encoder)


def test_damaged_weights(encoder):
    path = encoder / "model.safetensors"
    whole = path.read_bytes()
    for content in (b"", whole[:-50], b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"):
        path.write_bytes(content)
        with pytest.raises(LoadingError, match=r"weights in .* are missing or damaged: .*"):
            load_encoder(encoder)


@pytest.mark.parametrize(
    "name", ["/no/such/folder", "no/such/folder", "./nothing", "~/no-such-folder", "", "a\\b"]
)
def test_a_folder_that_is_not_there_is_not_looked_for_elsewhere(name, monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", None)  # not called
    with pytest.raises(LoadingError, match="There is no folder"):
        local_folder(name)


def test_a_folder_that_is_not_there_within_one_that_is(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", None)
    (tmp_path / "models").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LoadingError, match="There is no 'mine' in the folder 'models'"):
        load_model("models/mine")
    with pytest.raises(LoadingError, match="'file' must be a folder of a model or a name on the hub"):
        load_model("file")


def test_a_hub_name_is_tried_once(monkeypatch, encoder):
    requested = []

    def download(name, **options):
        requested.append(name)
        if name == "somebody/encoder":
            return str(encoder)
        raise ConnectionError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert local_folder("somebody/encoder") == encoder
    with pytest.raises(LoadingError, match=r"no model of this name on this machine .* \(ConnectionError\)"):
        load_encoder("somebody/other")
    assert requested == ["somebody/encoder", "somebody/other"]


@pytest.mark.parametrize("code", [False, True])
def test_python_files_of_a_hub_name_are_for_those_who_trust_them(monkeypatch, encoder, code):
    patterns = []

    def download(name, *, allow_patterns, **options):
        patterns.extend(allow_patterns)
        return str(encoder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    load_encoder("somebody/encoder", trust_remote_code=code)
    assert ("*.py" in patterns) == code


@pytest.mark.parametrize(
    ("saved", "auto"),
    [
        ("BLIP reasoning", AutoModel),
        ("BLIP reasoning", AutoModelForVisualQuestionAnswering),
        ("two-stream reasoning", AutoModelForVisualQuestionAnswering),
    ],
)
def test_a_model_of_another_class_is_not_called_damaged(tmp_path, saved, auto):
    model = KINDS[saved].new()
    model.save_pretrained(tmp_path)
    with pytest.raises(LoadingError) as error:
        auto.from_pretrained(tmp_path)
    name = type(model).__name__
    assert f"was saved as a {name}: load it by `vkood.load_model({str(tmp_path)!r})`" in str(error.value)
    assert type(load_model(tmp_path)) is type(model)
