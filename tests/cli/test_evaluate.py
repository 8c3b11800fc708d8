"""`vkood evaluate`: wrong input is refused in one sentence before the work, and right input gives numbers."""

import json
import sys

import pytest
from typer.testing import CliRunner

from support.command_line import refusal
from support.tiny_vqa import HashedFacts, save_tiny, tiny_tokenizer
from vkood.cli import app
from vkood.cli import evaluate_easy_vqa as command
from vkood.data import easy_vqa_answers
from vkood.data.easy_vqa_knowledge import MAX_CONTRADICTING
from vkood.train import assembly, evaluation

KNOWLEDGE = ("--data", "easy-vqa-knowledge")
KEYS = {
    "model",
    "data",
    "irrelevant",
    "contradicting",
    "irrelevant_facts",
    "seed",
    "num_questions",
    "num_facts",
    "accuracy",
    "filter",
    "seconds",
    "vkood",
}


def run(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def refused(*arguments):
    """Run a command that has to be refused; returns the sentence."""
    return refusal(run(*arguments))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model that tests only read."""
    return save_tiny(tmp_path_factory.mktemp("demo") / "model")


@pytest.fixture
def folder(tmp_path):
    """A model that tests may damage."""
    return save_tiny(tmp_path / "model")


@pytest.fixture
def encoders(monkeypatch, tmp_path_factory):
    """No test but one waits for the encoder of facts, or finds the vectors of another test."""
    created = []

    def encoder(folder):
        created.append(HashedFacts())
        return created[-1]

    monkeypatch.setattr(assembly, "SentenceEncoder", encoder)
    monkeypatch.setenv("VKOOD_CACHE", str(tmp_path_factory.mktemp("cache")))
    return created


def scores(*arguments):
    """The record that an evaluation prints, and nothing else."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def no_work(monkeypatch):
    """Fail where a model is loaded: what is refused must be refused before."""

    def fail(*args, **options):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(evaluation, "assemble", fail)


class TestScores:
    def test_knowledge(self, saved, encoders):
        words = (*KNOWLEDGE, "--irrelevant", 3, "--contradicting", 2, "--seed", 5, "--limit", 20)
        record = scores(saved, *words)
        assert record.keys() == KEYS
        assert record["model"] == str(saved)
        assert [
            record[key] for key in ("data", "irrelevant", "contradicting", "irrelevant_facts", "seed")
        ] == [
            "easy-vqa-knowledge",
            3,
            2,
            None,
            5,
        ]
        assert (record["num_questions"], record["num_facts"]) == (20, 20 * 11)
        assert 0 <= record["accuracy"] <= 1
        assert 0 <= record["filter"]["auroc"] <= 1
        assert 0 <= record["filter"]["fpr95"] <= 1
        assert record["seconds"] > 0
        shown = run(saved, *words).stdout
        for number in ("220", f"{record['accuracy']:.3f}", f"{record['filter']['auroc']:.3f}"):
            assert number in shown

    def test_ones_own_facts(self, saved, encoders, tmp_path):
        own = tmp_path / "own.txt"
        own.write_text("Bread is baked in ovens.\n", encoding="utf-8")
        record = scores(saved, *KNOWLEDGE, "--irrelevant-facts", own, "--irrelevant", 2, "--limit", 4)
        assert (record["irrelevant_facts"], record["irrelevant"], record["num_facts"]) == (str(own), 2, 32)
        encoded = [sentence for encoder in encoders for sentence in encoder.encoded]
        assert encoded.count("Bread is baked in ovens.") == 1
        assert all(" is " in fact or " has " in fact for fact in encoded)  # none of our irrelevant facts

    def test_ones_own_facts_flood_by_default(self, saved, encoders, tmp_path):
        own = tmp_path / "own.txt"
        own.write_text("One.\nTwo.\n")
        assert scores(saved, *KNOWLEDGE, "--irrelevant-facts", own, "--limit", 2)["num_facts"] == 2 * 54

    def test_vectors_are_kept(self, saved, encoders):
        arguments = (saved, *KNOWLEDGE, "--limit", 3)
        assert run(*arguments).exit_code == 0
        encoded = [sentence for encoder in encoders for sentence in encoder.encoded]
        assert run(*arguments).exit_code == 0
        assert [sentence for encoder in encoders for sentence in encoder.encoded] == encoded

    def test_a_great_flood_changes_the_batch_size_only(self, saved, encoders, capsys):
        """Rounding moves some of an untrained gate's scores."""
        records = []
        for facts_in_batch in (12_000, 100):
            evaluation = command.EasyVqaEvaluation(
                model=saved,
                data="easy-vqa-knowledge",
                irrelevant=40,
                contradicting=0,
                irrelevant_facts=None,
                seed=0,
                limit=10,
                facts_in_batch=facts_in_batch,
            )
            command.evaluate_easy_vqa(evaluation, as_json=True)
            records.append(json.loads(capsys.readouterr().out))
        assert records[0]["accuracy"] == records[1]["accuracy"]
        assert records[0]["filter"]["auroc"] == pytest.approx(records[1]["filter"]["auroc"], abs=0.01)

    def test_it_repeats(self, saved, encoders):
        records = [scores(saved, *KNOWLEDGE, "--limit", 30, "--seed", seed) for seed in (0, 0, 1)]
        assert records[0]["filter"] == records[1]["filter"] != records[2]["filter"]

    def test_easy_vqa(self, saved):
        words = ("--data", "easy-vqa", "--limit", 50)
        record = scores(saved, *words)
        assert record.keys() == KEYS
        assert (record["num_questions"], record["num_facts"], record["filter"]) == (50, 0, None)
        assert "AUROC" not in run(saved, *words).stdout

    def test_a_model_without_a_gate(self, tmp_path, encoders):
        folder = save_tiny(tmp_path / "model", gate={"kind": "none"})
        assert scores(folder, *KNOWLEDGE, "--limit", 3)["filter"] is None

    @pytest.mark.slow
    def test_the_encoder_itself(self, saved):
        assert run(saved, *KNOWLEDGE, "--limit", 2).exit_code == 0


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (
                ("--data", "vqav2"),
                "--data must be easy-vqa, easy-vqa-knowledge or a folder of tables; got 'vqav2'",
            ),
            ((*KNOWLEDGE, "--irrelevant", -1), "--irrelevant must be a number from 0 to 10,000; got -1"),
            ((*KNOWLEDGE, "--irrelevant", 10**9), "--irrelevant must be"),
            ((*KNOWLEDGE, "--contradicting", -2), "--contradicting must be a number from 0 to 58; got -2"),
            ((*KNOWLEDGE, "--contradicting", 59), "--contradicting must be"),
            ((*KNOWLEDGE, "--seed", -1), "--seed must be"),
            ((*KNOWLEDGE, "--limit", 0), "--limit must be a number from 1 up; got 0"),
            (("--data", "easy-vqa", "--irrelevant", 3), "easy-vqa's own questions come without facts"),
            (("--data", "easy-vqa", "--contradicting", 3), "easy-vqa's own questions come without facts"),
            (
                ("--data", "easy-vqa", "--irrelevant-facts", "own.txt"),
                "easy-vqa's own questions come without",
            ),
        ],
    )
    def test_options(self, saved, no_work, arguments, says):
        assert says in refused(saved, *arguments)

    def test_the_limit_of_contradicting_facts_is_the_datas(self):
        assert command.MAX_CONTRADICTING == MAX_CONTRADICTING

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (None, "There is no file of irrelevant facts at"),
            (b"", "is empty"),
            (b" \n\n", "is empty"),
            (b"\xff\xfe\x00text", "is not UTF-8 text"),
            (b"PK\x03\x04\x00\x00", "is not UTF-8 text"),
            (b"a" * 2000, "has 2,000 characters"),
        ],
    )
    def test_ones_own_facts(self, saved, no_work, tmp_path, content, says):
        own = tmp_path / "own.txt"
        if content is not None:
            own.write_bytes(content)
        assert says in refused(saved, *KNOWLEDGE, "--irrelevant-facts", own)

    def test_ones_own_facts_are_a_folder(self, saved, no_work, tmp_path):
        assert "is a folder" in refused(saved, *KNOWLEDGE, "--irrelevant-facts", tmp_path)

    def test_no_such_model(self, no_work, tmp_path):
        assert "there is no model folder at" in refused(tmp_path / "none", *KNOWLEDGE)
        (tmp_path / "file").write_text("no model")
        assert "is a file" in refused(tmp_path / "file", *KNOWLEDGE)
        assert "has no config.json" in refused(tmp_path, *KNOWLEDGE)

    def test_the_folder_above_a_model(self, saved, no_work):
        assert f"Did you mean {str(saved)!r}?" in refused(saved.parent, *KNOWLEDGE)

    @pytest.mark.parametrize(
        ("config", "says"),
        [
            (b"", "config.json' cannot be read as JSON"),
            (b'{"model_type": "vkood"', "config.json' cannot be read as JSON"),
            (b"\xff\xfe", "config.json' must be UTF-8, but is UTF-16"),
            (b"[]", "config.json' must hold a JSON object, but holds a list"),
            (b"{}", "is of another kind (unknown)"),
            (b'{"model_type": "bert", "architectures": ["BertModel"]}', "is of another kind (BertModel)"),
            (b'{"model_type": "vkood", "architectures": ["VkoodModel"]}', "is of another kind (VkoodModel)"),
            (b'{"model_type": "vkood", "architectures": 3}', "is of another kind"),
        ],
    )
    def test_config(self, folder, no_work, config, says):
        (folder / "config.json").write_bytes(config)
        assert says in refused(folder, *KNOWLEDGE)

    def test_a_config_that_loads_as_json_alone(self, folder):
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"gate": {"kind": "wide"}}))
        assert "configuration of the model" in refused(folder, *KNOWLEDGE)

    def test_weights(self, folder, no_work):
        weights = folder / "model.safetensors"
        for content in (weights.read_bytes()[:-9], b"no weights", b""):
            weights.write_bytes(content)
            assert "model.safetensors' are damaged" in refused(folder, *KNOWLEDGE)
        weights.unlink()
        assert "has no weights" in refused(folder, *KNOWLEDGE)

    def test_weights_of_another_model(self, folder, tmp_path):
        other = save_tiny(tmp_path / "other", hidden_size=32)
        (folder / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
        assert "weights in" in refused(folder, *KNOWLEDGE)

    def test_tokenizer(self, folder):
        (folder / "tokenizer.json").write_text("{")
        assert "tokenizer" in refused(folder, *KNOWLEDGE)
        for file in folder.glob("tokenizer*"):
            file.unlink()
        assert "has no tokenizer" in refused(folder, *KNOWLEDGE)

    def test_answers(self, tmp_path):
        folder = save_tiny(tmp_path / "model", easy_vqa_answers())
        assert "lacks 64 of the 64 answers of this task" in refused(folder, *KNOWLEDGE)
        assert run(folder, "--data", "easy-vqa", "--limit", 2).exit_code == 0

    def test_fact_vectors_of_another_width(self, tmp_path, encoders):
        folder = save_tiny(tmp_path / "model", fact_dim=12)
        result = run(folder, *KNOWLEDGE, "--limit", 2)
        assert result.exit_code == 2
        assert "takes vectors of facts of width 12, but those of gt-all" in result.stderr.splitlines()[-1]

    def test_a_model_without_its_processor(self, folder, no_work):
        (folder / "processor_config.json").unlink()
        assert "has no processor" in refused(folder, *KNOWLEDGE)

    def test_a_tokenizer_from_elsewhere(self, folder, encoders):
        tokenizer = tiny_tokenizer()
        tokenizer.add_tokens(["kite"])
        tokenizer.save_pretrained(folder)
        assert "the tokenizer has" in refused(folder, *KNOWLEDGE)

    def test_missing_packages(self, saved, no_work, monkeypatch):
        monkeypatch.setitem(sys.modules, "easy_vqa", None)
        assert '(easy_vqa); install them with `pip install -e ".[demo]"`' in refused(saved, *KNOWLEDGE)
