"""`vkood doctor`: it sees what is missing, and fails for what vkood cannot do without."""

import importlib.metadata
import json

import pytest
from typer.testing import CliRunner

import vkood
from vkood.cli import app, doctor


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("VKOOD_CACHE", str(folder))
    return folder


def record(*words):
    result = CliRunner().invoke(app, ["doctor", "--json", *words])
    assert result.exit_code in (0, 1), result.output
    content = json.loads(result.stdout)
    assert content["healthy"] == (result.exit_code == 0)
    findings = {finding["topic"]: finding for finding in content["findings"]}
    assert len(findings) == len(content["findings"])
    return findings


def test_a_sound_installation(cache):
    (cache / "facts").mkdir(parents=True)
    (cache / "facts" / "vectors").write_bytes(bytes(2**20))
    findings = record()
    assert findings["versions"]["details"]["vkood"] == vkood.__version__
    assert {findings[topic]["state"] for topic in ("versions", "packages", "default store", "cache")} == {
        "ok"
    }
    assert findings["default store"]["details"]["num_facts"] > 100_000
    assert findings["cache"]["details"]["bytes"] == 2**20
    assert findings["device"]["details"]["threads"] >= 1
    assert "diagonal on cpu" in findings["back ends"]["details"]
    assert findings["extra train"]["state"] == "ok"
    assert "hub" not in findings


def test_the_table():
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "All that vkood needs is there."
    narrow = CliRunner().invoke(app, ["doctor"], env={"COLUMNS": "60"})
    assert max(map(len, narrow.stdout.splitlines())) <= 60


@pytest.fixture
def requires(monkeypatch):
    """Sets what the installed package is said to require."""
    return lambda *lines: monkeypatch.setattr(importlib.metadata, "requires", lambda name: list(lines))


def test_an_extra_that_is_not_installed(requires):
    requires(
        'no-such-package>=2; extra == "train"',
        'numpy>=99; extra == "train"',
        'vkood[train]; extra == "demo"',
        "other; python_version < '3' and extra == 'demo'",
    )
    findings = record()
    assert findings["packages"]["state"] == "ok"
    train, demo = findings["extra train"], findings["extra demo"]
    assert train["state"] == demo["state"] == "missing"
    assert train["details"]["lacking"] == demo["details"]["lacking"]
    assert train["details"]["lacking"][0] == "no-such-package"
    assert train["details"]["lacking"][1].startswith("numpy>=99 (here is ")
    assert '".[train]"' in train["advice"]
    assert findings["extra knowledge"]["state"] == "ok"


@pytest.mark.parametrize("has_gpu", [True, False])
def test_the_extra_for_gpus_is_missing_where_there_is_one_alone(has_gpu, requires, monkeypatch):
    requires('no-such-package; extra == "gpu"')
    monkeypatch.setattr("torch.cuda.is_available", lambda: has_gpu)
    monkeypatch.setattr(doctor, "_backends", lambda: doctor.Finding(topic="back ends", state="ok", text=""))
    assert ("extra gpu" in record()) == has_gpu


def test_advice_fits_the_installation(requires, tmp_path, monkeypatch):
    requires('no-such-package; extra == "app"')
    assert record()["extra app"]["advice"].startswith('`pip install -e ".[app]"` in the checkout')
    monkeypatch.setattr("vkood.extras.__file__", str(tmp_path / "site-packages" / "vkood" / "extras.py"))
    assert record()["extra app"]["advice"] == '`pip install "vkood[app]"` installs it.'


def test_a_required_package_that_is_too_old(requires):
    requires("numpy>=99")
    packages = record()["packages"]
    assert packages["state"] == "problem"
    assert "numpy>=99" in packages["text"]


def test_a_damaged_store(tmp_path, monkeypatch):
    class Damaged:
        @staticmethod
        def open():
            raise ValueError("The fact store is damaged.")

    monkeypatch.setattr("vkood.knowledge.FactStore", Damaged)
    assert record()["default store"]["state"] == "problem"
    assert "!!  default store" in CliRunner().invoke(app, ["doctor"]).stdout


def test_a_cache_that_cannot_be_written_to(cache):
    cache.write_text("a file")
    findings = record()
    assert findings["cache"]["state"] == "problem"
    assert "VKOOD_CACHE" in findings["cache"]["advice"]


def test_a_missing_encoder(monkeypatch):
    version = doctor._installed
    monkeypatch.setattr(doctor, "_installed", lambda name: None if name.startswith("gt-") else version(name))
    encoder = record()["encoder of facts"]
    assert encoder["state"] == "missing"
    assert "pip install" in encoder["advice"]


def test_the_hub_is_asked_on_request_alone(monkeypatch):
    from huggingface_hub import constants

    requests = []

    class Session:
        def head(self, address, timeout):
            requests.append(address)
            raise ConnectionError

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.utils.get_session", Session)
    record()
    assert requests == []
    hub = record("--hub")["hub"]
    assert (hub["state"], len(requests)) == ("missing", 1)
    monkeypatch.setattr(Session, "head", lambda self, address, timeout: None)
    assert record("--hub")["hub"]["state"] == "ok"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in record("--hub")["hub"]["text"]
