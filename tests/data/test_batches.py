"""Batches of examples."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessorPil

from support.tiny_vqa import tiny_tokenizer
from vkood.data.batches import Collator
from vkood.data.rows import Example
from vkood.images import ImageProblem
from vkood.models import VkoodProcessor

SAMPLES = Path(__file__).parent / "images"


def example(image):
    return Example(name="table 'a', row 3", text="what?", images=(image,), image_index=0)


@pytest.fixture(scope="module", name="processor")
def _processor():
    images = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32)
    return VkoodProcessor(images, tiny_tokenizer())


@pytest.mark.parametrize("file", sorted(SAMPLES.iterdir()), ids=lambda file: file.name)
def test_training_sees_what_prediction_sees(processor, file):
    trained = Collator(processor)([example(file.read_bytes())])["pixel_values"]
    assert torch.equal(trained, processor(file, "what?")["pixel_values"])
    assert torch.equal(trained, processor(Image.open(file), "what?")["pixel_values"])


def test_a_bad_image_is_named_with_its_row(processor):
    collate = Collator(processor)
    with pytest.raises(
        ImageProblem, match=r"the image of table 'a', row 3 .* no format .* `vkood data check` lists"
    ):
        collate.images([example(b"<p>")])
    with pytest.raises(ValueError, match="table 'a', row 3 has no image"):
        collate.images([example(b"")])
