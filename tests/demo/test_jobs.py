"""The demo's pieces of work, each in a fraction of its time."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from support.tiny_vqa import HashedFacts
from vkood.data import load_easy_vqa
from vkood.data.readers.easy_vqa import KNOWLEDGE_TRAIN, read_easy_vqa, read_easy_vqa_knowledge
from vkood.demo import jobs
from vkood.demo.plan import ARMS, GALLERY_SIZE, PLAIN_TEST, Plan, Workshop, plan
from vkood.demo.towers import image_processor, normalised, pretrain_image_tower, save_text_tower
from vkood.pipelines import VkoodProcessor
from vkood.train import assembly

SMALL = Plan(tower_steps=2, steps=4, irrelevant=(0, 3), contradicting=(2,))


def first(source, count):
    """The first rows of each table of a source."""

    def shortened(read):
        return lambda bad: itertools.islice(read(bad), count)

    return replace(source, tables={name: shortened(read) for name, read in source.tables.items()})


@pytest.fixture(scope="module", name="workshop")
def _workshop(tmp_path_factory):
    """What all arms share, with few questions, and facts that need no encoder."""
    patch = pytest.MonkeyPatch()
    patch.setattr(assembly, "SentenceEncoder", lambda folder: HashedFacts())
    patch.setattr(jobs, "read_easy_vqa", lambda: first(read_easy_vqa(), 10))
    patch.setattr(
        jobs, "read_easy_vqa_knowledge", lambda **options: first(read_easy_vqa_knowledge(**options), 70)
    )
    workshop = Workshop(folder=tmp_path_factory.mktemp("workshop"))
    save_text_tower(workshop.text_tower, seed=0)
    num_questions = jobs.prepare_tables(SMALL, workshop, lambda rows: None)
    assert num_questions[KNOWLEDGE_TRAIN] > 9 * 70
    pretrain_image_tower(workshop.image_tower, seed=0, steps=2, on_step=lambda step: None)
    yield workshop
    patch.undo()


def test_pictures_are_prepared_as_for_the_tower():
    pictures = load_easy_vqa("test").images[:2]
    pixels = image_processor()([p.permute(1, 2, 0).numpy() for p in pictures], return_tensors="pt")
    torch.testing.assert_close(normalised(pictures), pixels["pixel_values"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_is_trained_and_tested(workshop, arm):
    steps, tested = [], []
    jobs.train_arm(SMALL, workshop, arm, lambda *done: steps.append(done))
    ((step, accuracy),) = steps
    assert step == 4
    assert 0 < 640 * accuracy < 640  # of four batches of 160
    result = jobs.test_arm(SMALL, workshop, arm, tested.append)
    tables = SMALL.testing(workshop, arm).data.test
    assert len(tables) == (2 if arm == "no_facts" else 4)
    assert tables[-1] == PLAIN_TEST
    assert tested[-1] >= 70 * (len(tables) - 1)
    assert result["knowledge"].keys() == {"irrelevant", "contradicting"}
    assert result["knowledge"]["irrelevant"].keys() == {"0", "3"}
    assert 0 <= result["easy_vqa"] <= 1
    assert (result["filter"] is None) == (arm != "filtered")
    gallery = result["gallery"]
    assert len(gallery.predicted) == GALLERY_SIZE
    if arm == "filtered":
        assert 0 <= result["filter"]["contradicting"]["2"]["auroc"] <= 1
        assert [len(gates) for gates in gallery.gates] == [12] * GALLERY_SIZE  # six and a flood of six
        assert gallery.maps is not None
    else:
        assert gallery.gates == gallery.scores == []
    assert VkoodProcessor.from_pretrained(workshop.model(arm)).tokenizer.get_vocab().keys() >= {
        "what",
        "shape",
    }


def test_a_quick_plan_is_a_part_of_the_whole():
    quick, full = plan(quick=True), plan()
    assert set(quick.irrelevant) < set(full.irrelevant)
    assert set(quick.contradicting) < set(full.contradicting)
    assert (quick.epochs, full.epochs) == (3, 8)  # 16 pictures of 4,000 a step
