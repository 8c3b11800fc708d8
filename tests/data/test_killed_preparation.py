"""A preparation that is killed leaves the old tables or the new ones, and nothing that would stay for ever."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support import prepared
from vkood.data.prepare import prepare, read_source
from vkood.data.tables import TableError, find_tables


def test_old_tables_or_new_ones(tmp_path):
    script = Path(__file__).parents[1] / "support" / "killed_preparation.py"
    done = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, check=True)
    record = json.loads(done.stdout)
    for number in ("SIGKILL", "SIGTERM", "SIGINT"):
        states = [what for name, _, what in record["seen"] if name == number]
        assert all(what in (["old"], ["new"]) for what in states)
        assert states[0] == ["old"]
        assert states[-1] == ["new"]
        assert len(states) > 8
    assert record["left"] == ["q.prepared.json", "q_train.arrow", "q_val.arrow"]


def test_tables_of_an_earlier_preparation(tmp_path):
    """What the manifest does not list, or lists with another size, is not mixed with what it does."""
    source = read_source("coco", prepared.raw("coco"))
    prepare(source, tmp_path, facts=None)
    old = (tmp_path / "coco_caption_karpathy_val.arrow").read_bytes()
    find_tables(tmp_path, ["*"])
    (tmp_path / "coco_caption_karpathy_older.arrow").write_bytes(old)
    with pytest.raises(TableError, match=r"older.arrow.*not what `vkood data prepare` last wrote"):
        find_tables(tmp_path, ["*"])
    find_tables(tmp_path, ["coco_caption_karpathy_val"])
    (tmp_path / "coco_caption_karpathy_test.arrow").write_bytes(old[:-8] + b"\0" * 8 + old[-8:])
    with pytest.raises(TableError, match=r"truncated|test.arrow.*not what"):
        find_tables(tmp_path, ["coco_caption_karpathy_test"])


@pytest.mark.parametrize("content", ["[]", "{", '{"tables": 3}'])
def test_a_damaged_manifest(tmp_path, content):
    prepare(read_source("sbu", prepared.raw("sbu")), tmp_path, facts=None)
    (tmp_path / "sbu.prepared.json").write_text(content)
    with pytest.raises(TableError, match=r"manifest .*sbu.prepared.json"):
        find_tables(tmp_path, ["*"])


def test_files_that_wait_to_be_moved(tmp_path):
    """Readers move them; where they cannot, they say so."""
    prepare(read_source("sbu", prepared.raw("sbu")), tmp_path, facts=None)
    (tmp_path / ".sbu.complete").mkdir()
    (tmp_path / "sbu_0.arrow").rename(tmp_path / ".sbu.complete" / "sbu_0.arrow")
    assert [table.name for table in find_tables(tmp_path, ["*"])] == ["sbu_0"]
    assert not (tmp_path / ".sbu.complete").exists()
    (tmp_path / ".sbu.complete").mkdir()
    (tmp_path / "sbu_0.arrow").rename(tmp_path / ".sbu.complete" / "sbu_0.arrow")
    (tmp_path / "sbu_0.arrow").mkdir()
    with pytest.raises(TableError, match="were not all moved"):
        find_tables(tmp_path, ["*"])
