"""A saved model has a card: task, data, metrics, gates, licence, and how to load it."""

import re

import huggingface_hub
import pytest
from huggingface_hub import ModelCard

from support.every_model import KINDS
from vkood.models.card import CardDetails, card_text, write_card


@pytest.mark.parametrize("kind", KINDS)
def test_every_saved_model_has_a_card(kind, tmp_path):
    model = KINDS[kind].new()
    model.save_pretrained(tmp_path)
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.library_name == "vkood"
    assert f"# {type(model).__name__}\n" in card.text
    for heading in ("Load it", "Data", "Metrics", "Gates", "Licence"):
        assert f"\n## {heading}\n" in card.text
    assert type(model.config.gate.family).__name__ in card.text


def test_details(tmp_path):
    model = KINDS["BLIP retrieval"].new()
    details = CardDetails(
        data="Tables a.", metrics={"accuracy": 0.25, "auroc": 1}, evaluated_on="b", licence="cc-by-4.0"
    )
    text = card_text(model, details)
    assert ModelCard(text).data.license == "cc-by-4.0"
    assert re.search(
        r"On b:\n\n\| metric \| value \|\n\|---\|---\|\n\| accuracy \| 0.2500 \|\n\| auroc \| 1.0000 \|", text
    )


def test_a_card_of_ones_own_stays(tmp_path):
    model = KINDS["BLIP retrieval"].new()
    (tmp_path / "README.md").write_text("My words.")
    model.save_pretrained(tmp_path)
    write_card(tmp_path, model, CardDetails(data="x"))
    assert (tmp_path / "README.md").read_text() == "My words."


def test_details_replace_the_card_of_saving(tmp_path):
    model = KINDS["BLIP retrieval"].new()
    model.save_pretrained(tmp_path)
    write_card(tmp_path, model, CardDetails(data="Tables x."))
    model.save_pretrained(tmp_path)
    assert "Tables x." in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize("by_saving", [False, True])
def test_it_is_uploaded_with_the_model(by_saving, tmp_path, monkeypatch):
    calls = []

    class Hub:
        def __init__(self, token):
            calls.append(token)

        def create_repo(self, name, private, exist_ok):
            assert (name, private, exist_ok) == ("me/model", True, True)
            return huggingface_hub.RepoUrl("https://huggingface.co/me/model")

        def upload_folder(self, repo_id, folder_path, commit_message, revision):
            assert {"config.json", "model.safetensors", "README.md"} <= {
                p.name for p in folder_path.iterdir()
            }
            calls.append((repo_id, commit_message, revision))
            return "address"

    monkeypatch.setattr("vkood.models.card.HfApi", Hub)
    options = {"private": True, "token": "secret", "revision": "main"}
    model = KINDS["BLIP retrieval"].new()
    if by_saving:
        model.save_pretrained(tmp_path, push_to_hub=True, repo_id="me/model", **options)
    else:
        assert model.push_to_hub("me/model", **options) == "address"
    assert calls == ["secret", ("me/model", "Upload model", "main")]
