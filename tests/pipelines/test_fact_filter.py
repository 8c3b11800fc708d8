import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from support.word_encoder import WordEncoder, new_filter, tagger
from vkood import FactFilter, GateConfig
from vkood.files import FileProblem
from vkood.gating.calibration import CalibrationWarning
from vkood.models.loading import LoadingError
from vkood.pipelines.fact_filter import UNTRAINED, _is_picture_file

PICTURE = Image.new("RGB", (2, 2))
DOCUMENTS = ["music", "umbrella", "wet", "umbrella"]


def test_ranks_by_cosine_untrained():
    hits = new_filter().rank("rain", DOCUMENTS)
    assert [hit["corpus_id"] for hit in hits] == [1, 3, 2, 0]
    cosines = np.array([0.9 / 0.97**0.5, 0.9 / 0.97**0.5, 0.5**0.5, 0.0])
    logits = 10 * cosines / 1.01**0.5 - 3  # 0.1 pseudo-tokens of the prior
    np.testing.assert_allclose([hit["score"] for hit in hits], 1 / (1 + np.exp(-logits)), rtol=1e-5)


def test_form_of_a_cross_encoder():
    fact_filter = new_filter()
    hits = fact_filter.rank("rain", DOCUMENTS, top_k=1, return_documents=True)
    assert hits == [{"corpus_id": 1, "score": pytest.approx(0.997, abs=1e-3), "text": "umbrella"}]
    scores = fact_filter.predict([("rain", "wet"), ("music", "wet"), ("rain", "umbrella")])
    assert isinstance(scores, np.ndarray)
    assert scores[2] > scores[0] > scores[1]
    assert fact_filter.predict(("rain", "wet")) == pytest.approx(scores[0])
    assert fact_filter.rank("rain", []) == []


def test_a_score_depends_on_query_and_document_alone():
    fact_filter = new_filter()
    (alone,) = fact_filter.rank("rain", ["wet"])
    assert alone["score"] == pytest.approx(fact_filter.rank("rain", DOCUMENTS)[2]["score"], abs=1e-6)


def test_each_text_is_encoded_once():
    fact_filter = new_filter()
    fact_filter.predict([("rain", "wet"), ("rain", "umbrella"), ("wet", "umbrella")])
    assert sorted(fact_filter.encoder.texts) == ["rain", "umbrella", "wet"]


def test_pictures_are_what_the_tagger_says(tmp_path):
    fact_filter = new_filter(tagger=tagger)
    PICTURE.save(tmp_path / "picture.png")
    ranks = [
        [hit["score"] for hit in fact_filter.rank(query, ["rain", "music"])]
        for query in (PICTURE, tmp_path / "picture.png", {"image": str(tmp_path / "picture.png")})
    ]
    assert ranks[0] == ranks[1] == ranks[2]
    mean = 0.75 * np.array([0.9, 0.4, 0, 0]) / 0.97**0.5 + 0.25 * np.array([0, 0, 0.2, 1.0]) / 1.04**0.5
    cosine = mean[0] / (mean @ mean + 0.01) ** 0.5
    assert ranks[0][0] == pytest.approx(1 / (1 + np.exp(3 - 10 * cosine)), rel=1e-5)
    assert fact_filter.rank(Image.new("L", (3, 3)), ["rain", "music"])[0]["corpus_id"] == 1


def test_text_and_picture_both_count_the_text_more():
    fact_filter = new_filter(tagger=tagger)
    both = {"text": "rain", "image": Image.new("RGB", (3, 3))}  # of music
    scores = fact_filter.predict([(both, "rain"), (both, "music"), ("rain", "music")])
    assert scores[0] > scores[1] > scores[2]


def test_a_blank_text_beside_a_picture_and_names_of_pictures(tmp_path):
    PICTURE.save(tmp_path / "rain.png")
    fact_filter = new_filter(tagger=lambda picture: [("rain", 1.0)])
    both = fact_filter.rank({"text": " ", "image": PICTURE}, DOCUMENTS)
    assert both == fact_filter.rank(PICTURE, DOCUMENTS)
    with pytest.raises(ValueError, match=r"pass \{'image': "):
        fact_filter.rank(str(tmp_path / "rain.png"), DOCUMENTS)
    assert not _is_picture_file(str(tmp_path / "none.png"))


def test_pictures_need_a_tagger():
    with pytest.raises(
        ValueError, match=r'has a picture, but there is no `tagger` .* pass `tagger="default"`'
    ):
        new_filter().rank(PICTURE, DOCUMENTS)


def test_filter_and_calibration():
    fact_filter = new_filter()
    assert fact_filter.filter("rain", DOCUMENTS) == ["umbrella", "wet", "umbrella"]
    calibration = fact_filter.calibrate([("rain", "umbrella")] * 40, keep_rate=0.95)
    assert fact_filter.filter("rain", DOCUMENTS) == ["umbrella", "umbrella"]
    assert fact_filter.layer.gate.threshold.item() == pytest.approx(calibration.threshold)


class Noisy:
    """A sentence "3 7" is of topic 3; documents and queries of a topic lie along different axes, and noise."""

    width, fingerprint = 24, "noisy"

    def __call__(self, sentences):
        vectors = []
        for sentence in sentences:
            kind, topic, number = sentence.split()
            vector = 0.5 * np.random.default_rng(int(number)).normal(size=24) / 24**0.5
            vector[int(topic)] += 0.5
            vector[12 if kind == "query" else 13] += 1.0  # how it is put
            vectors.append(vector / np.linalg.norm(vector))
        return np.array(vectors)


def labelled(topics, *, seed, num_queries=60, num_others=3):
    """Queries of some topics, each with a document of its own and some of other topics."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(num_queries):
        topic, *others = rng.permutation(topics)
        others = np.resize(others, num_others)
        query = f"query {topic} {rng.integers(10**6)}"
        rows += [(query, f"document {t} {rng.integers(10**6)}", t == topic) for t in (topic, *others)]
    return rows


def accuracy(fact_filter, rows):
    scores = fact_filter.predict([row[:2] for row in rows])
    return float(((scores >= 0.5) == np.array([row[2] for row in rows])).mean())


def test_learns_from_labels_and_generalises():
    fact_filter = FactFilter(Noisy())
    held_out = labelled(range(12), seed=1)
    before = accuracy(fact_filter, held_out)
    assert fact_filter.fit(labelled(range(12), seed=0)) is fact_filter
    after = accuracy(fact_filter, held_out)
    assert before < 0.8
    assert after > 0.87


def test_learning_keeps_what_is_relevant_however_many_others_there_are():
    """One row in 21 is relevant; a gate of the least cross-entropy would keep 55 % of them."""
    rows = labelled(range(12), seed=0, num_queries=120, num_others=20)
    fact_filter = FactFilter(Noisy()).fit(rows)
    further = labelled(range(12), seed=1, num_queries=120, num_others=20)
    kept = fact_filter.predict([row[:2] for row in further]) >= 0.5
    relevant = np.array([row[2] for row in further])
    assert 0.9 < kept[relevant].mean() < 1
    assert kept[~relevant].mean() < 0.3


@pytest.mark.parametrize(("num_queries", "kept"), [(19, 19), (40, 39)])
def test_few_relevant_rows_calibrate_together(num_queries, kept):
    """Of n scores the one of rank ceil(0.95 (n + 1)) is the threshold."""
    rows = labelled(range(12), seed=0, num_queries=num_queries)
    scores = FactFilter(Noisy()).fit(rows).predict([row[:2] for row in rows if row[2]])
    assert (scores >= 0.5).sum() == kept


def test_too_few_relevant_rows_are_all_kept_with_a_warning():
    rows = labelled(range(12), seed=0, num_queries=6)
    fact_filter = FactFilter(Noisy())
    with pytest.warns(CalibrationWarning, match="6 scores cannot promise to keep 0.95"):
        fact_filter.fit(rows)
    assert (fact_filter.predict([row[:2] for row in rows if row[2]]) >= 0.5).all()


def test_learning_keeps_near_to_what_the_encoder_knows():
    """Few labels, all of topics 0 to 3, do no harm to other topics."""
    fact_filter = FactFilter(Noisy())
    others = labelled(range(4, 12), seed=1)
    ranked = FactFilter(Noisy()).predict([row[:2] for row in others]).reshape(-1, 4).argmax(1)
    fact_filter.fit(labelled(range(4), seed=0, num_queries=19))
    fitted = fact_filter.predict([row[:2] for row in others]).reshape(-1, 4).argmax(1)
    assert (fitted == 0).mean() >= (ranked == 0).mean() - 0.02


def test_saved_and_loaded(tmp_path):
    fact_filter = FactFilter(Noisy())
    rows = labelled(range(12), seed=0)
    fact_filter.fit(rows).save_pretrained(tmp_path / "filter")
    loaded = FactFilter.from_pretrained(tmp_path / "filter", encoder=Noisy())
    pairs = [row[:2] for row in rows]
    np.testing.assert_array_equal(loaded.predict(pairs), fact_filter.predict(pairs))
    assert {path.name for path in (tmp_path / "filter").iterdir()} == {
        "fact_filter.json",
        "fact_filter.safetensors",
    }


def test_encoder_of_the_package_is_saved_by_name(tmp_path):
    FactFilter().save_pretrained(tmp_path / "filter")
    loaded = FactFilter.from_pretrained(tmp_path / "filter", tagger=tagger)
    assert loaded.rank(PICTURE, ["Violins make music.", "Umbrellas keep you dry."])[0]["corpus_id"] == 1


@pytest.mark.parametrize(
    "damage", ["no folder", "no json", "other encoder", "nan", "shape", "scalar", "names"]
)
def test_damaged_folders_are_refused(tmp_path, damage):
    folder = tmp_path / "filter"
    new_filter().save_pretrained(folder)
    weights = load_file(folder / "fact_filter.safetensors")
    encoder = WordEncoder()
    if damage == "no folder":
        folder = tmp_path / "none"
    elif damage == "no json":
        (folder / "fact_filter.json").write_text("{")
    elif damage == "other encoder":
        encoder.fingerprint = "others"
    elif damage == "nan":
        weights["log_kappa"][0] = float("nan")
    elif damage in ("shape", "scalar"):
        weights["log_kappa"] = torch.zeros(3 if damage == "shape" else ())
    else:
        weights["more"] = torch.zeros(3)
    if folder.exists():
        save_file(weights, folder / "fact_filter.safetensors")
    with pytest.raises(LoadingError, match=r"fact.filter"):
        FactFilter.from_pretrained(folder, encoder=encoder)


def test_an_encoder_without_a_name_is_asked_for(tmp_path):
    new_filter().save_pretrained(tmp_path / "filter")
    assert json.loads((tmp_path / "filter" / "fact_filter.json").read_text())["encoder"] is None
    with pytest.raises(LoadingError, match="an encoder without a name: pass it as `encoder`"):
        FactFilter.from_pretrained(tmp_path / "filter")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda f: f.rank({"words": "rain"}, DOCUMENTS),
            "a text that is not blank, a picture",
        ),
        (
            lambda f: f.rank({"text": None, "image": None}, DOCUMENTS),
            "a text that is not blank, a picture",
        ),
        (lambda f: f.rank("", DOCUMENTS), "a text that is not blank"),
        (lambda f: f.filter(" \n", DOCUMENTS), "a text that is not blank"),
        (lambda f: f.predict([("", "wet")]), "a text that is not blank"),
        (lambda f: f.filter({"text": " "}, DOCUMENTS), "a text that is not blank"),
        (lambda f: f.filter("rain", [{"text": "wet"}]), r"number 0 is a dict. Pass .* for document in"),
        (lambda f: f.predict([("rain", {"text": "wet"})]), "document of row 0 must be a text, but is a dict"),
        (lambda f: f.rank("rain", "wet"), "`documents` must be a list of texts"),
        (lambda f: f.rank("rain", DOCUMENTS, top_k=0), "`top_k` must be a whole number"),
        (lambda f: f.predict([("rain", "wet", 1)]), r"row 0 must be \(query, document\)"),
        (lambda f: f.fit([("rain", "wet")]), r"row 0 must be \(query, document, relevant\)"),
        (lambda f: f.fit([("rain", "wet", True)]), "rows that are relevant and rows that are not"),
        (lambda f: f.fit([("rain", "wet", "0")]), "label of row 0 must be true or false, or 1 or 0; got '0'"),
        (lambda f: f.fit([("rain", "wet", 1), ("rain", "music", 0.3)]), "label of row 1 .* got 0.3. Compare"),
        (lambda f: f.fit([("rain", "wet", float("nan"))]), "label of row 0 must be"),
        (lambda f: f.predict("ab"), r"row 0 must be \(query, document\); got 'a'"),
        (lambda f: f.calibrate([]), "at least one finite score"),
        (lambda f: f.rank("a \ud800", DOCUMENTS), "half of a surrogate pair at 2"),
        (lambda f: f.rank("rain", ["\udc00"]), "half of a surrogate pair at 0"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(new_filter())


@pytest.mark.parametrize("tags", [[("rain", 0.0)], ["rain"], [3], [{"name": "rain"}], [("rain", "x")], None])
def test_taggers_without_probabilities_are_refused(tags):
    with pytest.raises(ValueError, match="`tagger` must return concepts with probabilities"):
        new_filter(tagger=lambda picture: tags).rank(PICTURE, DOCUMENTS)


@pytest.mark.usefixtures("unchecked")
def test_options_of_another_kind_are_refused():
    with pytest.raises(TypeError, match="`encoder` must be of type str or Path or SentenceTower"):
        FactFilter(lambda sentences: sentences)
    with pytest.raises(TypeError, match="`gate` must be of type GateConfig"):
        FactFilter(WordEncoder(), gate={"joint": "identity"})
    with pytest.raises(TypeError, match="`tagger` must be of type Tagger"):
        new_filter(tagger=3)


@pytest.mark.parametrize("shape", [(1, 4), (4, 4), (3, 5), (3,)])
def test_encoders_that_do_not_return_a_vector_for_each_text_are_refused(shape):
    class Odd(WordEncoder):
        def __call__(self, sentences, /):
            return torch.ones(shape)

    with pytest.raises(ValueError, match=r"`encoder` must return a vector .* \(3, 4\); got"):
        FactFilter(Odd()).rank("rain", ["wet", "music"])


def test_pairs_may_be_any_iterable():
    fact_filter = new_filter()
    listed = fact_filter.predict([("rain", "wet"), ("music", "wet")])
    np.testing.assert_array_equal(
        fact_filter.predict(zip(["rain", "music"], ["wet", "wet"], strict=True)), listed
    )
    assert fact_filter.predict([]).shape == (0,)


def test_saving_leaves_what_else_is_in_the_folder(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    for threshold in (-3.0, -5.0):
        new_filter(gate=replace(UNTRAINED, threshold=threshold)).save_pretrained(tmp_path)
    assert (tmp_path / "config.json").read_text() == "{}"
    assert FactFilter.from_pretrained(tmp_path, encoder=WordEncoder()).gate.threshold == -5.0
    new_filter().save_pretrained(tmp_path / "new" / "folder")
    with pytest.raises(FileProblem, match="must be a folder, but is a file"):
        new_filter().save_pretrained(tmp_path / "config.json")


def test_gates_without_a_mixture_are_refused():
    with pytest.raises(ValueError, match="`gate` must be of the kind \"mixture\"; got 'kernel'"):
        new_filter(gate=GateConfig(kind="kernel"))


def test_the_encoder_is_loaded_without_bars(capfd):
    from transformers.utils import logging

    logging.enable_progress_bar()
    FactFilter()
    assert capfd.readouterr().err == ""
    assert logging.is_progress_bar_enabled()


def test_progress_is_shown_if_asked(capsys):
    new_filter(gate=replace(UNTRAINED, num_components=1)).rank("rain", DOCUMENTS, show_progress_bar=True)
    assert capsys.readouterr().out == ""
