"""What Gradio finds around it, and what is left of it."""

import os
import time

import pytest

from vkood.app.surroundings import delete_old_files, surroundings


def test_the_folder_is_deleted_and_the_environment_as_before(monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", "mine")
    monkeypatch.delenv("GRADIO_ANALYTICS_ENABLED", raising=False)
    with pytest.raises(KeyError), surroundings() as folder:
        assert os.environ["GRADIO_TEMP_DIR"] == str(folder)
        assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
        (folder / "upload").write_bytes(b"photograph")
        raise KeyError
    assert not folder.exists()
    assert os.environ["GRADIO_TEMP_DIR"] == "mine"
    assert "GRADIO_ANALYTICS_ENABLED" not in os.environ


def test_old_files_are_deleted(tmp_path):
    old, new = tmp_path / "a" / "old", tmp_path / "new"
    for path in (old, new):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    os.utime(old, (time.time() - 61,) * 2)
    delete_old_files(tmp_path, 60.0)
    assert new.exists() and not old.exists()
