"""A file is complete, or it is not there."""

import os
import signal
import subprocess
import sys

import pytest

from vkood.files import (
    FileProblem,
    MissingFile,
    complete_file,
    complete_folder,
    open_regular,
    read_bytes,
    read_json,
    read_json_object,
    read_text,
    recover,
    write_text,
)


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


def run_and_be_killed(program, *arguments):
    """Run Python code that ends by a kill which no block can catch."""
    done = subprocess.run([sys.executable, "-c", program, *map(str, arguments)])
    assert done.returncode == -signal.SIGKILL


KILL = "os.kill(os.getpid(), signal.SIGKILL)"


def test_what_a_killed_writer_left_goes(tmp_path):
    path = tmp_path / "a.txt"
    run_and_be_killed(
        "import os, signal, sys; from vkood.files import complete_file\n"
        "with complete_file(sys.argv[1]) as unfinished:\n"
        f"    unfinished.write_text('half'); (unfinished.parent / f'{{unfinished.name}}.more').mkdir(); {KILL}",
        path,
    )
    assert len(os.listdir(tmp_path)) == 2
    write_text(path, "whole")
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_folder_that_was_moved_aside_comes_back(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    (path / "old").touch()
    run_and_be_killed(
        "import os, pathlib, signal, sys; from vkood.files import complete_folder\n"
        "rename = pathlib.Path.rename\n"
        "def killed(self, target):\n"
        f"    {KILL} if self.name.endswith('.unfinished') else rename(self, target)\n"
        "pathlib.Path.rename = killed\n"
        "with complete_folder(sys.argv[1]) as unfinished:\n"
        "    unfinished.mkdir(); (unfinished / 'new').touch()",
        path,
    )
    assert not path.exists()
    recover(path)
    assert os.listdir(tmp_path) == ["model"] and os.listdir(path) == ["old"]
    with complete_folder(path) as unfinished:
        unfinished.mkdir()
        (unfinished / "new").touch()
    assert os.listdir(tmp_path) == ["model"] and os.listdir(path) == ["new"]


def test_a_process_number_that_is_used_again_is_another_process(tmp_path):
    with complete_file(tmp_path / "a.txt") as ours:
        ours.write_text("ours")
        host, process, start, number = (
            ours.name.removeprefix(".a.txt.").removesuffix(".unfinished").split("-")
        )
        earlier = ours.with_name(f".a.txt.{host}-{process}-{int(start) - 1}-{number}.unfinished")
        earlier.write_text("a container's first process, killed")
        elsewhere = ours.with_name(f".a.txt.{'0' * 6}-{process}-{start}-{number}.unfinished")
        elsewhere.write_text("another host's")
        other = ours.with_name(f".a.txt.csv.{host}-{process}-{int(start) - 1}-{number}.unfinished")
        other.write_text("for another file")
        recover(tmp_path / "a.txt")
        assert sorted(os.listdir(tmp_path)) == sorted([ours.name, elsewhere.name, other.name])
        os.utime(elsewhere, (0, 0))
        recover(tmp_path / "a.txt")
        assert sorted(os.listdir(tmp_path)) == sorted([ours.name, other.name])


def test_a_failed_folder_leaves_what_was_there(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").touch()
    with pytest.raises(FileNotFoundError), complete_folder(tmp_path / "model"):
        pass  # nothing is written
    assert os.listdir(tmp_path / "model") == ["old"] and os.listdir(tmp_path) == ["model"]


def test_devices_pipes_and_links_are_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "pipe", tmp_path / "folder", "/dev/null"):
        with pytest.raises(FileProblem, match="must be a regular file"):
            write_text(path, "x")
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text() == "new"
    with pytest.raises(FileProblem, match="must be a folder"), complete_folder(tmp_path / "real"):
        pass
    (tmp_path / "folder link").symlink_to("folder")
    with complete_folder(tmp_path / "folder link") as unfinished:
        unfinished.mkdir()
        (unfinished / "new").touch()
    assert os.listdir(tmp_path / "folder") == ["new"] and (tmp_path / "folder link").is_symlink()


def test_long_names(tmp_path):
    path = tmp_path / ("ä" * 120)
    write_text(path, "x")
    assert os.listdir(tmp_path) == [path.name]


class TestReading:
    def test_missing(self, tmp_path):
        with pytest.raises(MissingFile, match=r"There is no table at '.*none'\.$"):
            read_text(tmp_path / "none", what="table")
        with pytest.raises(FileNotFoundError):
            read_text(tmp_path / "none" / "none")

    def test_what_is_no_regular_file(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        for path, kind in ((tmp_path / "pipe", "a pipe"), ("/dev/zero", "a device"), (tmp_path, "a folder")):
            with pytest.raises(FileProblem, match=f"must be a regular file, but is .*{kind[2:]}"):
                open_regular(path)

    def test_zero_byte_in_a_name(self):
        with pytest.raises(FileProblem, match="zero byte"):
            read_bytes("a\0b")

    def test_too_large(self, tmp_path):
        (tmp_path / "a").write_bytes(b"12345")
        assert read_bytes(tmp_path / "a", max_bytes=5) == b"12345"
        with pytest.raises(FileProblem, match="at most 4 bytes; it has more"):
            read_bytes(tmp_path / "a", max_bytes=4)

    def test_encodings(self, tmp_path):
        path = tmp_path / "a.csv"
        path.write_bytes("\ufeffé\n".encode())
        assert read_text(path) == "é\n"
        for encoding in ("utf-16", "utf-32"):
            path.write_bytes("a,b".encode(encoding))
            with pytest.raises(FileProblem, match=f"must be UTF-8, but is {encoding.upper()}"):
                read_text(path)
            assert read_text(path, encoding=encoding) == "a,b"
        path.write_bytes("a\nb\ncafé".encode("latin-1"))
        with pytest.raises(FileProblem, match=r"line 3 has the byte 0xe9 there\. Use --encoding\.$"):
            read_text(path, advice="Use --encoding.")
        with pytest.raises(FileProblem, match="one that Python knows; got 'latin-99'"):
            read_text(path, encoding="latin-99")

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("{", "line 1, column 2"),
            ("[" * 100_000, "nested too deeply"),
            ("9" * 10_000, "too many digits"),
            ("", "line 1"),
        ],
    )
    def test_damaged_json(self, tmp_path, text, reason):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(FileProblem, match=reason):
            read_json(tmp_path / "a.json")

    def test_json(self, tmp_path):
        (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
        assert read_json_object(tmp_path / "a.json") == {"a": 1}
        (tmp_path / "a.json").write_text("[1]")
        assert read_json(tmp_path / "a.json") == [1]
        with pytest.raises(FileProblem, match="must hold a JSON object, but holds a list"):
            read_json_object(tmp_path / "a.json")
