"""Questions and captions of a user's own: what is read, what is reported, and that no row is lost."""

import json
from pathlib import Path

import pytest
from PIL import Image

from vkood.data.prepare import prepare
from vkood.data.readers import BadRowsError, SourceError
from vkood.data.readers.own import read_own
from vkood.data.readers.source import BadRows

FAULTS = Path(__file__).parent / "faults"


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a", "b", "c", "cat", "1", "2", "3", "4", "5", "6"):
        Image.new("RGB", (8, 8)).save(folder / f"{name}.png")
    return folder


def written(tmp_path, content, suffix):
    file = tmp_path / f"q{suffix}"
    lines = content if suffix == ".csv" else [json.dumps(line) for line in content]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def rows_of(source, split="train"):
    bad = BadRows()
    rows = list(source.tables[f"{source.name}_{split}"](bad))
    return rows, bad


def scores(source):
    """Each question with the scores of its answers."""
    rows, _ = rows_of(source)
    return {
        question: dict(zip(answers, values, strict=True))
        for row in rows
        for question, answers, values in zip(
            row["questions"], row["answers"], row["answer_scores"], strict=True
        )
    }


def test_a_repeated_row_concerns_its_question_alone(images):
    source = read_own(FAULTS / "repeated_row.csv", images, name="q")
    assert scores(source) == {"What is it?": {"cat": 1.0}, "Is it a dog?": {"no": 1.0}}
    assert list(source.bad.notes.values()) == [1]


def test_annotators_that_disagree(tmp_path, images):
    lines = ["image,question,answer", *["a.png,What?,red"] * 3, "a.png,What?,blue", "a.png,Where?,here"]
    source = read_own(written(tmp_path, lines, ".csv"), images, name="q")
    assert scores(source) == {"What?": {"red": 0.9, "blue": 0.3}, "Where?": {"here": 1.0}}


def test_spellings_are_one_answer(images):
    source = read_own(FAULTS / "answers_in_three_spellings.csv", images, name="q")
    assert source.answers == ("red",)
    assert list(source.bad.notes.values()) == [2]


def test_an_answer_that_is_an_article_stays(tmp_path, images):
    lines = ["image,question,answer", "a.png,Which option?,A", "b.png,Which option?,B"]
    assert read_own(written(tmp_path, lines, ".csv"), images, name="q").answers == ("a", "b")


def test_accents_of_their_own_are_no_other_answer(tmp_path, images):
    lines = ["image,question,answer", "a.png,What?,café", "b.png,What?,cafe\u0301"]
    source = read_own(written(tmp_path, lines, ".csv"), images, name="q")
    assert source.answers == ("café",)
    assert [row["annotations"] for row in rows_of(source)[0]] == [[["café"]], [["café"]]]


@pytest.mark.parametrize(("file", "encoding"), [("latin1.csv", "latin-1"), ("utf16.csv", "utf-16")])
def test_encodings(images, file, encoding):
    with pytest.raises(SourceError, match=rf"{file}.*(row 2.*not UTF-8|UTF-8.*row 1.*UTF-16).*--encoding"):
        read_own(FAULTS / file, images, name="q")
    assert read_own(FAULTS / file, images, name="q", encoding=encoding).answers == ("café",)
    with pytest.raises(SourceError, match=r"encoding must be one that Python knows.*'utf-99'"):
        read_own(FAULTS / file, images, name="q", encoding="utf-99")


def test_a_wrong_encoding_is_no_other_text(images):
    with pytest.raises(SourceError, match="row 1"):
        read_own(FAULTS / "latin1.csv", images, name="q", encoding="utf-16")


def test_an_open_quotation_mark_swallows_nothing(tmp_path, images):
    source = read_own(FAULTS / "quotes.csv", images, name="q")
    assert [reason.partition(":")[0] for reason in source.bad.reasons] == [
        "quotes.csv, row 3",
        "quotes.csv, row 6",
    ]
    with pytest.raises(BadRowsError, match="2 of 6 rows"):
        prepare(source, tmp_path / "tables", facts=None)
    prepared = prepare(source, tmp_path / "tables", facts=None, max_bad=0.5)
    assert (prepared.num_read, prepared.num_kept, prepared.num_left_out) == (6, 4, 2)


def test_empty_rows_are_skipped(tmp_path, images):
    prepared = prepare(
        read_own(FAULTS / "trailing_commas.csv", images, name="q"), tmp_path / "tables", facts=None
    )
    assert (prepared.num_read, prepared.num_kept, prepared.skipped) == (6, 5, {"empty rows": 1})
    lines = ["image,question,answer,", "a.png,What?,red,", ",,,", "", "b.png,What?,red,,,"]
    prepared = prepare(
        read_own(written(tmp_path, lines, ".csv"), images, name="r"), tmp_path / "tables", facts=None
    )
    assert (prepared.num_read, prepared.num_kept, prepared.skipped) == (4, 2, {"empty rows": 2})


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"question": {"a": 1}}, "`question` must be a text that is not blank; got an object"),
        ({"question": " "}, "`question` must be a text that is not blank"),
        ({"image": 17}, "`image` must be a text"),
        ({"answer": {"text": "red"}}, r"`answer\[0\].answer` must be a text; got nothing"),
        ({"answer": [["red"]]}, r"`answer\[0\]` must be a text; got a list of 1"),
        ({"answer": 1.5}, r"`answer\[0\]` must be a text; got 1.5"),
        ({"answers": [{"answer": 1e999}]}, r"`answers\[0\].answer` must be a text; got inf"),
        ({"question_id": 1.7}, "`question_id` must be a whole number of 64 bits; got 1.7"),
        ({"question_id": 2**64}, "`question_id` must be a whole number of 64 bits"),
        ({"question_id": True}, "`question_id` must be a whole number of 64 bits; got true"),
        ({"split": "../../x"}, "`split` must be a name of letters"),
        ({"split": "facts"}, "`split` must be a name of letters"),
        ({"question": "\ud800"}, "`question` must be a text without single surrogates"),
        (7, "it must be an object"),
        ({}, None),
    ],
)
def test_rows_of_wrong_types(tmp_path, images, row, says):
    good = {"image": "a.png", "question": "What?", "answer": "red"}
    wrong = row if not isinstance(row, dict) else good | row if row else {}
    source = read_own(written(tmp_path, [good, wrong], ".jsonl"), images, name="q")
    with pytest.raises(BadRowsError, match=f"q.jsonl, row 2: {says or 'it lacks `image`'}"):
        prepare(source, tmp_path / "tables", facts=None)


def test_forms_of_answers(tmp_path, images):
    """VQA's form is read; what is null hides nothing; blank answers are no class."""
    rows = [
        {"question": "a", "answers": [{"answer": "red"}] * 4 + [{"answer": " "}, {"answer": "blue"}]},
        {"question": "b", "answers": None, "answer": "green"},
        {"question": "c", "answer": ["two", "2"]},
        {"question": "d", "answer": ""},
        {"question": "e", "answer": 3},
        {"question": "f", "answers": "grey"},
    ]
    file = written(tmp_path, [{"image": "a.png"} | row for row in rows], ".jsonl")
    source = read_own(file, images, name="q")
    assert source.answers == ("red", "blue", "green", "2", "3", "grey")
    expected = {
        "a": {"red": 1.0, "blue": 0.3},
        "b": {"green": 1.0},
        "c": {"2": 1.0},
        "d": {},
        "e": {"3": 1.0},
    }
    assert scores(source) == expected | {"f": {"grey": 1.0}}


@pytest.mark.parametrize("blank", [None, [], "", [""], [" ", "\u200b", None], [{"answer": ""}]])
def test_blank_answers_hide_no_answer(tmp_path, images, blank):
    lines = [{"image": "a.png", "question": "What?", "answers": blank, "answer": "cat"}]
    source = read_own(written(tmp_path, lines, ".jsonl"), images, name="q")
    assert scores(source) == {"What?": {"cat": 1.0}}


def test_invisible_characters_and_ligatures_are_no_other_answer(tmp_path, images):
    answers = ["cat", "cat\u200b", "\u200b", "fish", "\ufb01sh", "\uff46\uff49\uff53\uff48", "fi\u00adsh"]
    lines = ["image,question,answer", *(f"a.png,{n}?,{answer}" for n, answer in enumerate(answers))]
    source = read_own(written(tmp_path, lines, ".csv"), images, name="q")
    assert source.answers == ("cat", "fish")
    assert scores(source)["2?"] == {}


def test_empty_rows_before_the_columns(tmp_path, images):
    lines = ["", ",,", "image,question,answer", "a.png,What?,cat"]
    source = read_own(written(tmp_path, lines, ".csv"), images, name="q")
    assert scores(source) == {"What?": {"cat": 1.0}}
    assert source.bad.skipped == {"empty rows": 2}


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le"])
def test_a_mark_of_byte_order_is_no_text(tmp_path, images, encoding):
    file = tmp_path / "q.csv"
    file.write_bytes("\ufeffimage,question,answer\na.png,What?,caf\u00e9\n".encode(encoding))
    assert scores(read_own(file, images, name="q", encoding=encoding)) == {"What?": {"caf\u00e9": 1.0}}


def test_quotation_marks_in_a_tsv_are_text_and_noted(tmp_path, images):
    file = tmp_path / "q.tsv"
    file.write_text(
        'image\tquestion\tanswer\na.png\t"Red, or blue?"\tred\nb.png\tA 15" screen?\tno\n', encoding="utf-8"
    )
    source = read_own(file, images, name="q")
    assert set(scores(source)) == {'"Red, or blue?"', 'A 15" screen?'}
    assert list(source.bad.notes.values()) == [1]


@pytest.mark.parametrize("split", ["facts", "b_facts", "../x", "a/b", "*"])
def test_splits_by_which_no_table_can_be_called(tmp_path, images, split):
    lines = ["image,caption,split", "a.png,A dog.,train", f"a.png,A cat.,{split}"]
    source = read_own(written(tmp_path, lines, ".csv"), images, name="q")
    assert list(source.tables) == ["q_train"]
    assert "row 3: `split` must be" in source.bad.reasons[0]


@pytest.mark.parametrize("name", ["caf\udce9", "x" * 200, "a\x1b[1m"])
def test_names_that_no_table_can_have(tmp_path, images, name):
    source = read_own(written(tmp_path, ["image,caption", "a.png,A dog."], ".csv"), images, name=name)
    with pytest.raises(SourceError, match=r"must be printable text of at most 200 bytes"):
        prepare(source, tmp_path / "out", facts=None)
    assert not (tmp_path / "out").exists()


def test_ids(tmp_path, images):
    """Two ids are two questions; the same number for another question is reported, however it is spelt."""
    lines = [
        "image,question,answer,question_id",
        "a.png,What?,red,7",
        "a.png,What?,blue,8",
        "b.png,What?,red,007",
    ]
    source = read_own(written(tmp_path, lines, ".csv"), images, name="q")
    assert source.bad.reasons == ["q.csv, row 4: its `question_id` 7 is that of another question, in row 2"]
    rows, _ = rows_of(source)
    assert [row["question_id"] for row in rows] == [[7, 8]]
    assert [row["answer_scores"] for row in rows] == [[[1.0], [1.0]]]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "has no rows"),
        ("image,question,answer\n", "has no rows"),
        ("image,image,question\na.png,b,c\n", "the column 'image' more than once"),
        ("picture,text\na.png,b\n", "it has 'picture', 'text'"),
        ('"image,question\na.png,b\n', "row 1, must name the columns"),
    ],
)
def test_files_that_are_none(tmp_path, images, content, says):
    file = tmp_path / "q.csv"
    file.write_text(content)
    with pytest.raises(SourceError, match=says):
        read_own(file, images, name="q")


@pytest.mark.parametrize("line", ["{}", "[]", "null", "{", "[" * 100_000, "9" * 5000])
def test_json_lines_that_are_none(tmp_path, images, line):
    file = tmp_path / "q.jsonl"
    file.write_text(line + "\n")
    with pytest.raises(SourceError, match="must have the columns"):
        read_own(file, images, name="q")


def test_long_cells_and_lines(tmp_path, images):
    lines = [
        "image,question,answer",
        "a.png,What?,red",
        f"a.png,{'x' * 200_000},red",
        f"a.png,{'x' * 2**21},red",
    ]
    source = read_own(written(tmp_path, [*lines, "b.png,What?,red"], ".csv"), images, name="q")
    assert source.bad.reasons == [
        "q.csv, row 3: it has a cell of more than 131,072 characters",
        "q.csv, row 4: it has more than 1,048,576 characters",
    ]
    assert len(rows_of(source)[0]) == 2


def test_images_outside_of_their_folder(tmp_path, images):
    """Names lead nowhere else, unless that is asked for; links are followed, which no name can make."""
    Image.new("RGB", (8, 8)).save(tmp_path / "outside.png")
    (images / "link.png").symlink_to(tmp_path / "outside.png")
    names = ("../outside.png", str(tmp_path / "outside.png"), "link.png", "..\\outside.png")
    lines = [{"image": name, "caption": "a cat"} for name in names]
    file = written(tmp_path, lines, ".jsonl")
    rows, bad = rows_of(read_own(file, images, name="q"))
    assert [row["image_id"] for row in rows] == ["link.png"]
    assert bad.num_bad == 3
    assert all("--any-image-path" in reason for reason in bad.reasons)
    rows, _ = rows_of(read_own(file, images, name="q", any_image_path=True))
    assert [row["image_id"] for row in rows] == list(names[:3])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"<!doctype html><title>404</title>", "web page"),
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (None, "cannot be decoded, and may be truncated"),
    ],
)
def test_images_that_are_none(tmp_path, images, content, says):
    """They are met here, not in the middle of training; the rows of an image count, not the image."""
    if content is None:
        Image.effect_noise((64, 64), 50).save(images / "b.png")
        content = (images / "b.png").read_bytes()[:-500]
    (images / "b.png").write_bytes(content)
    lines = ["image,caption", "a.png,a cat", "b.png,a dog", "b.png,a dog runs", "c.png,a cow"]
    source = read_own(written(tmp_path, lines, ".csv"), images, name="q")
    with pytest.raises(BadRowsError, match=rf"2 of 4 rows .*q.csv, rows 3, 4: .*{says}"):
        prepare(source, tmp_path / "tables", facts=None)


def test_rows_in_are_rows_out(tmp_path, images):
    lines = [
        "image,question,answer,split",
        "a.png,What?,red,train",
        "",
        "none.png,What?,red,train",
        ",What?,red,train",
    ]
    lines += ["b.png,What?,red,val", "b.png,What?,blue,val", '"open,x,y,val', "b.png,Where?,,val"]
    prepared = prepare(
        read_own(written(tmp_path, lines, ".csv"), images, name="q"), tmp_path / "t", facts=None, max_bad=0.9
    )
    assert prepared.num_read == len(lines) - 1
    assert (prepared.num_kept, prepared.num_left_out, sum(prepared.skipped.values())) == (4, 3, 1)
    manifest = json.loads((tmp_path / "t" / "q.prepared.json").read_text())
    assert manifest["num_left_out"] == len(manifest["left_out"]) == 3
