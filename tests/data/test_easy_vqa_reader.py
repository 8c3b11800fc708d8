"""easy-VQA as tables: what the package has, and what is drawn for it, comes back as examples."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from vkood.data import EasyVqaKnowledge, TrainingQuestions, joint_answers, load_easy_vqa
from vkood.data.check import check_folder
from vkood.data.prepare import prepare, read_source
from vkood.data.readers.easy_vqa import KNOWLEDGE_TRAIN, Flood, read_easy_vqa, read_easy_vqa_knowledge
from vkood.data.rows import Rows
from vkood.data.tables import find_tables

FLOOD = Flood(irrelevant=3, contradicting=2)


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    source = read_easy_vqa_knowledge(seed=5, epochs=1, floods=[Flood(), FLOOD])
    train = source.tables[KNOWLEDGE_TRAIN]
    source.tables[KNOWLEDGE_TRAIN] = lambda bad: itertools.islice(
        train(bad), 60
    )  # the first pictures are enough
    prepare(source, folder)
    prepare(read_easy_vqa(num_images=30), folder, facts=None)
    return folder


def rows_of(folder, table):
    return Rows(find_tables(folder, [table]))


def as_drawn(rows, example):
    return (
        example.text,
        example.answers,
        tuple(rows.sentences[fact] for fact in example.facts),
        example.matches,
    )


def test_knowledge_questions_of_a_test(folder):
    drawn = EasyVqaKnowledge("test", 5, irrelevant=3, contradicting=2)
    rows = rows_of(folder, FLOOD.table)
    assert len(rows) == len(drawn) == 888
    images = load_easy_vqa("test").images
    for index in range(0, 888, 100):
        question, example = drawn[index], rows[index]
        assert as_drawn(rows, example) == (
            question.text,
            (question.answer,),
            question.facts,
            question.matches,
        )
        assert joint_answers()[example.labels[0]] == question.answer
        picture = np.asarray(Image.open(io.BytesIO(example.images[0])))
        assert np.array_equal(picture, images[question.picture].permute(1, 2, 0).numpy())


def test_a_flood_adds_facts_alone(folder):
    plain, flooded = rows_of(folder, Flood().table), rows_of(folder, FLOOD.table)
    for index in range(0, 888, 100):
        assert plain[index].text == flooded[index].text
        assert set(plain[index].facts) < set(flooded[index].facts)
        assert len(flooded[index].facts) == 11


def test_questions_to_train_on(folder):
    rows = rows_of(folder, KNOWLEDGE_TRAIN)
    drawn = [question for picture in range(60) for question in TrainingQuestions(5).about(picture, epoch=0)]
    assert len(rows) == len(drawn)
    for index in range(0, len(drawn), 7):
        question = drawn[index]
        assert as_drawn(rows, rows[index])[0::2] == (question.text, question.facts)


def test_the_tables_are_sound(folder):
    assert all(table.sound for table in check_folder(folder))


def test_the_packages_own_questions(folder):
    data = load_easy_vqa("test")
    rows = rows_of(folder, "easy_vqa_test")
    own = [index for index, picture in enumerate(data.image_index.tolist()) if picture < 30]
    assert rows.num_images == 30
    assert sorted((e.text, e.answers[0]) for e in (rows[index] for index in range(len(rows)))) == sorted(
        (data.questions[index], data.answers[index]) for index in own
    )


def test_more_epochs_make_more_rows():
    source = read_source("easy-vqa-knowledge", epochs=0, floods=[])
    assert source.tables == {}
    with pytest.raises(ValueError, match="`epochs` must be 0 or more; got -1"):
        read_easy_vqa_knowledge(epochs=-1)
    with pytest.raises(ValueError, match="easy-vqa-knowledge takes no `num_images`"):
        read_source("easy-vqa-knowledge", num_images=3)
