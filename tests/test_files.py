"""A file is complete, or it is not there."""

import pytest

from vkood.files import complete_file, write_text


def test_text(tmp_path):
    write_text(tmp_path / "a.txt", "ünï\n")
    assert (tmp_path / "a.txt").read_bytes() == "ünï\n".encode()
    write_text(str(tmp_path / "a.txt"), "new")
    assert (tmp_path / "a.txt").read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("before", [None, "old"])
def test_a_failure_leaves_what_was_there(tmp_path, before):
    path = tmp_path / "a.txt"
    if before is not None:
        path.write_text(before)
    with pytest.raises(RuntimeError), complete_file(path) as unfinished:
        unfinished.write_text("half")
        assert not path.exists() or path.read_text() == before
        raise RuntimeError
    assert [file.name for file in tmp_path.iterdir()] == ([] if before is None else ["a.txt"])
    assert before is None or path.read_text() == before


def test_nothing_written(tmp_path):
    with pytest.raises(FileNotFoundError), complete_file(tmp_path / "a.txt"):
        pass
