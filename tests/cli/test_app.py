"""`vkood app`: what it refuses before anything is loaded."""

import importlib.util
import socket

import pytest
from typer.testing import CliRunner

from vkood.cli import app


def refused(*arguments):
    result = CliRunner().invoke(app, ["app", "--no-browser", *map(str, arguments)])
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1, result.stderr
    return result.stderr


@pytest.fixture(name="installed")
def _installed(monkeypatch):
    """Gradio seems to be there."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: find("json" if name == "gradio" else name))


def test_a_missing_extra(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "gradio" else find(name))
    assert 'packages are missing (gradio); install them with `pip install -e ".[app]"`' in refused()


@pytest.mark.parametrize("port", [0, 65_536])
def test_a_port_out_of_range(port):
    assert f"--port must be a number from 1 to 65,535; got {port}." in refused("--port", port)


def test_a_taken_port():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        sentence = refused("--port", port)
    assert sentence.startswith(f"vkood: the page cannot be served at 127.0.0.1, port {port}: ")
    assert sentence.endswith(". Choose others with --host and --port.\n")


def test_an_address_of_another_computer():
    assert "cannot be served at 192.0.2.1, port 7860" in refused("--host", "192.0.2.1")


def test_no_model(tmp_path):
    assert "has no config.json" in refused("--model", tmp_path)


@pytest.mark.usefixtures("installed")
def test_no_store(tmp_path):
    assert "--store must be a store of facts" in refused("--store", tmp_path / "none.vkood")
