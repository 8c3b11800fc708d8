"""Batches of examples."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessorPil

from support.tiny_vqa import tiny_tokenizer
from vkood.data.batches import AnswerBatches, Collator
from vkood.data.rows import Example
from vkood.images import ImageProblem
from vkood.pipelines import VkoodProcessor

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


def questions():
    """Two questions about each of two images, the last with facts."""
    pictures = sorted(SAMPLES.iterdir())[:2]
    return [
        Example(
            name=f"table 'a', row {number}",
            id=10 * number + place,
            text="?" * (1 + number + place),
            images=(picture.read_bytes(),),
            image_index=number,
            labels=(number + place,),
            scores=(1.0,),
            facts=(0, 1) if number and place else (),
        )
        for number, picture in enumerate(pictures)
        for place in range(2)
    ]


def test_questions_about_one_image_share_it(processor):
    vectors = np.ones((2, 3), np.float32)
    alone = AnswerBatches(processor, vectors, num_answers=5)(questions())
    shared = AnswerBatches(processor, vectors, num_answers=5, per_image=2)(questions())
    assert shared.keys() == alone.keys()
    assert torch.equal(shared.pop("pixel_values"), alone.pop("pixel_values")[::2])
    for name, tensor in shared.items():
        assert tensor.shape[:2] == (2, 2)
        assert torch.equal(tensor.flatten(0, 1), alone[name])


def test_one_answer_a_question(processor):
    batch = AnswerBatches(processor, single_answer=True, per_image=2)(questions())
    assert batch["labels"].tolist() == [[0, 1], [1, 2]]
    assert AnswerBatches(processor, single_answer=True)(questions())["labels"].tolist() == [0, 1, 1, 2]
    doubtful = [replace(questions()[0], labels=(0, 1), scores=(1.0, 0.3))]
    with pytest.raises(ValueError, match=r"row 0, question 0: it must have one answer.*it has 2"):
        AnswerBatches(processor, single_answer=True)(doubtful)
