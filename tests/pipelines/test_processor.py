"""Pictures, texts and facts become tensors, and errors name bad ones."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close
from transformers import AutoProcessor

from support.every_model import two_stream_config
from support.tiny_pictures import image_processor, picture
from support.tiny_vqa import tiny_tokenizer
from vkood.knowledge import Fact, FactQuery, FactStore, build_store
from vkood.models import VkoodForVisualQuestionAnswering
from vkood.pipelines import ConceptTagger, VkoodProcessor
from vkood.pipelines.concept_tagger.queries import queries_of
from vkood.pipelines.encoding import cache_folder


@pytest.fixture(scope="module", name="processor")
def _processor(tmp_path_factory):
    cache = str(tmp_path_factory.mktemp("facts"))
    return VkoodProcessor(image_processor(), tiny_tokenizer(), fact_cache=cache, max_length=12)


def content(image, kind="PNG"):
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def test_shapes(processor):
    batch = processor([picture(), picture(64, 64)], ["what is it?", "is there a red circle?"])
    assert batch["pixel_values"].shape == (2, 3, 32, 32)
    assert batch["input_ids"].shape == batch["attention_mask"].shape
    assert set(batch) == {"pixel_values", "input_ids", "attention_mask"}
    assert processor([[picture(), picture()]], ["is it true?"])["pixel_values"].shape == (1, 2, 3, 32, 32)
    assert processor([picture(), picture()], "is it true?")["pixel_values"].shape == (1, 2, 3, 32, 32)
    assert set(processor(images=picture())) == {"pixel_values"}
    assert set(processor(text="what?")) == {"input_ids", "attention_mask"}


def test_however_a_picture_comes(processor, tmp_path):
    image = picture()
    path = tmp_path / "a.png"
    path.write_bytes(content(image))
    expected = processor(image)["pixel_values"]
    for same in (path, str(path), content(image), np.asarray(image)):
        assert torch.equal(processor(same)["pixel_values"], expected)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1", "LA", "I", "F"])
def test_modes(processor, mode):
    assert processor(picture(mode=mode))["pixel_values"].isfinite().all()


def test_sixteen_bits_are_scaled(processor):
    grey = np.linspace(0, 65535, 40 * 40).astype(np.uint16).reshape(40, 40)
    eight = Image.fromarray((grey / 257).round().astype(np.uint8))
    assert_close(
        processor(Image.fromarray(grey))["pixel_values"], processor(eight)["pixel_values"], atol=0.02, rtol=0
    )


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (3, 2000), (20_000, 10)])
def test_odd_sizes(processor, size):
    assert processor(picture(*size))["pixel_values"].shape == (1, 3, 32, 32)


def test_what_is_cut_off_changes_nothing(processor):
    long = picture(3000, 20)
    whole = image_processor()(long, return_tensors="pt")["pixel_values"]
    assert_close(processor(long)["pixel_values"], whole, atol=1e-5, rtol=0)


def test_bad_pictures_are_named(processor, tmp_path):
    good, whole = picture(), content(picture(200, 200))
    for bad, reason in (
        (whole[: len(whole) // 2], r"images\[1\] cannot be decoded, and may be truncated"),
        (b"", r"images\[1\] must be a picture, but is empty"),
        (b"no picture", r"images\[1\] must be a picture, but is in no format"),
        (np.zeros((4, 4)), r"images\[1\] must be an array of bytes, .* got float64"),
        (np.zeros((4, 4, 2), np.uint8), r"images\[1\] must be an array of \(height, width\)"),
    ):
        with pytest.raises(ValueError, match=reason):
            processor([good, bad], ["a", "b"])
    with pytest.raises(FileNotFoundError, match=r"images\[1\], '.*none.png', .* no such file"):
        processor([good, tmp_path / "none.png"], ["a", "b"])
    with pytest.raises(ValueError, match=r"images\[0\]\[1\] must be a picture"):
        processor([[good, b""]], ["a"])
    with pytest.raises(ValueError, match="one item for each of the 2 texts; got 3"):
        processor([good] * 3, ["a", "b"])
    with pytest.raises(ValueError, match=r"same number of pictures; got \[1, 2\]"):
        processor([[good], [good, good]], ["a", "b"])


def test_the_call_of_the_field(processor):
    """As any processor of transformers is called."""
    expected = processor(picture(), "is there a red circle?")
    batch = processor(images=picture(), text="is there a red circle?", return_tensors="pt")
    batch_2 = processor(
        images=[picture()],
        text=["is there a red circle?"],
        return_tensors="pt",
        padding=True,
        truncation=True,
    )
    for name, tensor in expected.items():
        assert torch.equal(batch[name], tensor)
        assert torch.equal(batch_2[name], tensor)
    assert processor(text="what?", padding="max_length")["input_ids"].shape == (1, 12)
    assert processor(text="what?", padding="max_length", max_length=7)["input_ids"].shape == (1, 7)
    assert processor(text="what? " * 50, max_length=5)["input_ids"].shape == (1, 5)
    assert processor(text="what? " * 50, truncation=False)["input_ids"].shape[1] > 100
    with pytest.raises(TypeError, match="unexpected keyword argument 'paddding'"):
        processor(text="what?", paddding=True)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "`images`, `text` or both must be given"),
        ({"text": []}, "at least one text"),
        ({"images": []}, "at least one picture"),
        ({"text": "a", "return_tensors": "np"}, "`return_tensors` must be \"pt\".*; got 'np'"),
        ({"text": "a", "max_length": 0}, "`max_length` must be a whole number of at least 1; got 0"),
        ({"text": "a", "padding": "no"}, "no is not a valid PaddingStrategy"),
        ({"text": ["a", "a\ud800"]}, r"text\[1\] must be Unicode text"),
        ({"images": iter([picture()]), "text": "a"}, "`images` .* got list_iterator: write `list"),
        (
            {"images": np.zeros((2, 8, 8, 3), np.uint8), "text": ["a", "b"]},
            "`images` .* got ndarray: write `list",
        ),
        ({"text": "a", "facts": ["\ud800"]}, "`facts` must be Unicode text"),
        ({"text": "a", "facts": [["a fact.", 3]]}, r"facts\[0\] must be a list of sentences; got"),
        ({"text": "a", "facts": [""]}, r"facts\[0\] must be a list of sentences, but number 0 is blank"),
        ({"text": ["a", "b"], "facts": [[], ["a fact.", " "]]}, r"facts\[1\] .* number 1 is blank"),
    ],
)
def test_what_a_call_refuses(processor, arguments, reason):
    with pytest.raises(ValueError, match=reason):
        processor(**arguments)


def test_where_vectors_of_facts_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("VKOOD_CACHE", str(tmp_path / "here"))
    processor = VkoodProcessor(image_processor(), tiny_tokenizer())
    assert processor(text="a", facts=["a lemon is sour."])["fact_mask"].all()
    assert list((tmp_path / "here" / "facts").iterdir())
    monkeypatch.setenv("VKOOD_CACHE", "~/there")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "there"
    monkeypatch.delenv("VKOOD_CACHE")
    assert cache_folder() == tmp_path / ".cache" / "vkood"
    monkeypatch.setattr("pathlib.Path.home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    with pytest.raises(ValueError, match=r"no home folder .* VKOOD_CACHE"):
        cache_folder()


@pytest.mark.parametrize("text", ["", "what " * 2000, "🦊 ¿qué?", "a\x00b"])
def test_any_text(processor, text):
    batch = processor(text=text, facts="default")
    assert 1 <= batch["input_ids"].shape[1] <= 12


def test_facts_that_are_given(processor):
    batch = processor(
        text=["a", "b", "c"], facts=[["a lemon is sour."], [], ["x.", "y.", "a lemon is sour."]]
    )
    assert batch["fact_mask"].tolist() == [[True, False, False], [False] * 3, [True] * 3]
    features = batch["fact_features"]
    assert features.shape == (3, 3, 384)
    assert_close(features[batch["fact_mask"]].norm(dim=-1), torch.ones(4))
    assert torch.equal(features[0, 0], features[2, 2])
    assert not features[1].any()
    alone = processor(text="a", facts=["x.", "y."])
    assert alone["fact_mask"].shape == (1, 2)
    assert processor(text="a", facts=[])["fact_mask"].shape == (1, 0)
    assert processor(text="a", facts=[f"fact {n}." for n in range(200)])["fact_mask"].sum() == 200
    with pytest.raises(ValueError, match="a list of sentences for each of the 2 texts; got 1"):
        processor(text=["a", "b"], facts=[["x."]])
    with pytest.raises(ValueError, match=r"got the text 'facts\.db'"):
        processor(text="a", facts="facts.db")
    with pytest.raises(ValueError, match="`facts` need the texts"):
        processor(facts=["x."])


def test_facts_from_a_store(processor, tmp_path):
    facts = [Fact("kite", "UsedFor", "flying"), Fact("lemon", "HasProperty", "sour")]
    build_store(tmp_path / "facts.db", [facts])
    with FactStore.open(tmp_path / "facts.db") as store:
        ((fact,), ()) = processor.facts_for(["Where is the kite?", "nothing"], store)
        assert (fact.sentence, fact.span) == ("a kite is used for flying.", (13, 17))
        assert processor(text=["Where is the kite?", "nothing"], facts=store)["fact_mask"].tolist() == [
            [True],
            [False],
        ]


def test_saved_and_loaded(processor, tmp_path, monkeypatch):
    """All but the folder of the cache: a model's folder does not decide where is written."""
    monkeypatch.setenv("VKOOD_CACHE", str(tmp_path / "cache"))
    processor.save_pretrained(tmp_path)
    saved = tmp_path / "processor_config.json"
    content = json.loads(saved.read_text())
    assert "fact_cache" not in content
    # Processors saved by earlier versions have `facts_per_concept`.
    saved.write_text(
        json.dumps(content | {"fact_cache": str(tmp_path / "elsewhere"), "facts_per_concept": 5})
    )
    model = VkoodForVisualQuestionAnswering(two_stream_config(fact_dim=384))
    model.save_pretrained(tmp_path)
    for loaded in (VkoodProcessor.from_pretrained(tmp_path), AutoProcessor.from_pretrained(tmp_path)):
        assert isinstance(loaded, VkoodProcessor)
        assert (loaded.max_length, loaded.fact_cache) == (12, None)
        inputs = (picture(), "what is it?", ["a lemon is sour."])
        for name, tensor in processor(*inputs).items():
            # Sentences that were encoded beside others differ in the last digit from those encoded alone.
            torch.testing.assert_close(loaded(*inputs)[name], tensor, rtol=0, atol=1e-6)
    assert not (tmp_path / "elsewhere").exists()
    assert VkoodProcessor.from_pretrained(tmp_path, fact_cache="here").fact_cache == "here"


@pytest.mark.usefixtures("unchecked")
def test_from_towers(tmp_path):
    image_processor().save_pretrained(tmp_path / "image")
    tiny_tokenizer().save_pretrained(tmp_path / "text")
    built = VkoodProcessor.from_towers(tmp_path / "image", tmp_path / "text", image_size=48, max_length=9)
    assert built(picture())["pixel_values"].shape == (1, 3, 48, 48)
    for size in (0, "x", 5000):
        with pytest.raises(ValueError, match="`image_size` must be a whole number from 1 to 4,096"):
            VkoodProcessor(image_processor(), tiny_tokenizer()).set_image_size(size)
    with pytest.raises(ValueError, match="`max_length` must be a whole number of at least 1"):
        VkoodProcessor.from_towers(tmp_path / "image", tmp_path / "text", max_length=0)


class TestConceptsOfPictures:
    """`concepts` of the processor: facts of what pictures show are looked up too."""

    def tagger(self) -> ConceptTagger:
        def describe(pictures):
            return [["a violin" if picture.width == 40 else "an umbrella"] for picture in pictures]

        return ConceptTagger.from_captioner(describe)

    def test_facts_of_what_pictures_show_are_in_the_batch(self, monkeypatch):
        looked_up = []
        processor = VkoodProcessor(image_processor(), tiny_tokenizer())
        facts_for = processor.facts_for

        def recorded(queries, facts):
            looked_up.extend(facts_for(queries, facts))
            return looked_up[-len(queries) :]

        monkeypatch.setattr(processor, "facts_for", recorded)
        texts = ["What is it?", "What is it?"]
        batch = processor([picture(40), picture(50)], texts, "default", concepts=self.tagger())
        violin, umbrella = looked_up
        assert any("violin" in fact.sentence for fact in violin)
        assert any("umbrella" in fact.sentence for fact in umbrella)
        assert batch["fact_mask"].any(-1).all()
        listed = processor.facts_for(
            [FactQuery(texts[0], concepts=self.tagger()(picture(40)).concepts)], "default"
        )
        assert listed[0] == violin

    def test_of_several_pictures_of_a_text_all_count(self):
        [query] = queries_of(["What?"], [picture(40), picture(50)], self.tagger())
        assert {"violin", "umbrella"} <= {name for name, _ in query.concepts}
        [same] = queries_of(["What?"], [[picture(40), picture(50)]], self.tagger())
        assert same == query

    @pytest.mark.parametrize(
        ("arguments", "options", "message"),
        [
            ((None, "a dog", "default"), {"concepts": "tagger"}, "which needs the pictures"),
            ((picture(), "a dog"), {"concepts": "tagger"}, "`concepts` need a store"),
            ((picture(), "a dog", "default"), {"concepts": []}, "for each of the 1 texts; got 0"),
            ((picture(), "a dog", "default"), {"concepts": [[("dog", 2.0)]]}, "probability from 0 to 1"),
        ],
    )
    def test_concepts_that_do_not_fit_are_refused(self, arguments, options, message):
        processor = VkoodProcessor(image_processor(), tiny_tokenizer())
        if options["concepts"] == "tagger":
            options = {"concepts": self.tagger()}
        with pytest.raises(ValueError, match=message):
            processor(*arguments, **options)
