"""The real package: its counts, and the attributes of its pictures against the pixels."""

import sys
from collections import Counter

import pytest
import torch

from vkood.data import COLOURS, SHAPES, easy_vqa_answers, load_easy_vqa, picture_attributes

RGB = {
    "black": (0, 0, 0),
    "blue": (0, 0, 255),
    "brown": (165, 42, 42),
    "gray": (128, 128, 128),
    "green": (0, 255, 0),
    "red": (255, 0, 0),
    "teal": (0, 128, 128),
    "yellow": (255, 255, 0),
}


@pytest.mark.parametrize(
    ("split", "num_images", "num_questions", "num_described"),
    [("train", 4000, 38575, 3578), ("test", 1000, 9673, 888)],
)
def test_counts(split, num_images, num_questions, num_described):
    data = load_easy_vqa(split)
    assert data.images.shape == (num_images, 3, 64, 64)
    assert data.images.dtype == torch.uint8
    assert len(data.questions) == len(data.answers) == len(data.image_index) == num_questions
    assert len(data.colours) == len(data.shapes) == num_images
    assert len(data.described) == num_described
    assert set(data.answers) <= set(easy_vqa_answers())
    assert data.image_index.unique().tolist() == list(range(num_images))
    assert {c for c in data.colours if c} == set(COLOURS)
    assert {s for s in data.shapes if s} == set(SHAPES)


def test_thirteen_answers_in_the_packages_order():
    answers = easy_vqa_answers()
    assert len(answers) == 13
    assert set(answers) == {*COLOURS, *SHAPES, "yes", "no"}
    assert answers[:2] == ("circle", "green")


def test_pictures_stand_in_the_order_of_their_ids():
    import easy_vqa
    from PIL import Image

    paths = easy_vqa.get_test_image_paths()
    for image_id in (0, 7, 999):
        with Image.open(paths[image_id]) as image:
            expected = torch.tensor(list(image.convert("RGB").tobytes()), dtype=torch.uint8).view(64, 64, 3)
        assert torch.equal(load_easy_vqa("test").images[image_id], expected.permute(2, 0, 1))


@pytest.mark.parametrize("split", ["train", "test"])
def test_known_colours_agree_with_the_pixels(split):
    """Backgrounds are light; the shape has one of eight exact colours, which no background comes near."""
    data = load_easy_vqa(split)
    known = [row for row, colour in enumerate(data.colours) if colour is not None]
    red, green, blue = data.images[known].flatten(2).int().unbind(dim=1)
    pixels = (red << 16) + (green << 8) + blue  # (images, pixels)
    named = [(r << 16) + (g << 8) + b for r, g, b in (RGB[colour] for colour in COLOURS)]
    counts = torch.stack([(pixels == colour).sum(dim=1) for colour in named], dim=1)  # (images, colours)
    assert counts.sum(dim=1).min() > 0
    assert [COLOURS[best] for best in counts.argmax(dim=1).tolist()] == [data.colours[row] for row in known]


@pytest.mark.parametrize("split", ["train", "test"])
def test_known_shapes_agree_with_the_pixels(split):
    """A shape fills its bounding box to 1 (rectangle), pi / 4 (circle) or 1 / 2 (triangle)."""
    data = load_easy_vqa(split)
    fill = {"rectangle": 1.0, "circle": 0.785, "triangle": 0.5}
    wrong = 0
    for row in data.described.tolist():
        image = data.images[row].int()
        ink = (image - torch.tensor(RGB[data.colours[row]])[:, None, None]).abs().sum(dim=0) < 100
        height, width = ink.any(dim=1).sum(), ink.any(dim=0).sum()
        filled = float(ink.sum() / (height * width))
        wrong += min(fill, key=lambda shape: abs(fill[shape] - filled)) != data.shapes[row]
    assert wrong <= 0.02 * len(data.described)  # small and cut shapes are too coarse for this measure


@pytest.mark.parametrize(
    ("question", "answer", "colour", "shape"),
    [
        ("what color is the shape?", "teal", "teal", None),
        ("what is the color of the circle?", "red", "red", "circle"),
        ("what is the gray shape?", "triangle", "gray", "triangle"),
        ("is there not a blue shape?", "no", "blue", None),
        ("is no rectangle present?", "no", None, "rectangle"),
        ("does the image contain a circle?", "yes", None, "circle"),
        ("does the image contain a circle?", "no", None, None),
        ("does the image not contain a circle?", "yes", None, None),
    ],
)
def test_what_one_answer_says(question, answer, colour, shape):
    assert picture_attributes([question], [answer], [0], num_images=1) == ((colour,), (shape,))


def test_elimination_leaves_the_last_possibility():
    questions = ["is there a circle?", "is there no rectangle present?"]
    assert picture_attributes(questions, ["no", "yes"], [0, 0], num_images=1) == ((None,), ("triangle",))


def test_contradicting_answers_are_refused():
    questions = ["what color is the shape?", "is there a red shape?"]
    with pytest.raises(ValueError, match="image 0 contradict"):
        picture_attributes(questions, ["teal", "yes"], [0, 0], num_images=1)


def test_attributes_are_about_balanced():
    data = load_easy_vqa("train")
    colours = Counter(c for c in data.colours if c)
    assert min(colours.values()) > 0.8 * max(colours.values())


def test_a_split_is_read_once_and_described_briefly():
    assert load_easy_vqa("test") is load_easy_vqa("test")
    assert len(repr(load_easy_vqa("test"))) < 200


def test_unknown_split():
    with pytest.raises((ValueError, TypeError), match="split"):  # TypeError if types are checked
        load_easy_vqa("valid")


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "easy_vqa", None)
    with pytest.raises(ImportError, match=r'pip install -e "\.\[demo\]"'):
        easy_vqa_answers()
