"""Foreign files are read, and never run."""

import argparse
import os

import pytest
import torch

from vkood.models.convert import CheckpointError, load_checkpoint
from vkood.models.convert.reading import read_checkpoint


class Callback:
    """Stands for a class of a package that is not installed."""


class Harmful:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.fixture
def trap(tmp_path):
    """A file that harmful code would make."""
    return tmp_path / "trap"


@pytest.mark.parametrize("zipped", [True, False])
def test_classes_become_inert(tmp_path, zipped):
    """As in Lightning 1.3's files, whose `callbacks` have a class as key."""
    path = tmp_path / "model.ckpt"
    content = {
        "state_dict": {"a": torch.arange(3.0)},
        "callbacks": {Callback: {"best": torch.tensor(1.0)}},
        "object": Callback(),
        "hyper_parameters": argparse.Namespace(rate=1),
    }
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    read = read_checkpoint(path)
    assert read["state_dict"]["a"].tolist() == [0, 1, 2]
    ((key, value),) = read["callbacks"].items()
    assert key is not Callback
    assert key.__name__ == "Callback"
    assert value["best"] == 1
    assert type(read["object"]).__name__ == "Callback"
    with pytest.raises(CheckpointError, match="would call"):
        key()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "harm",
    [
        lambda trap: Harmful(os.system, f"echo > {trap}"),
        lambda trap: Harmful(eval, f"open({str(trap)!r}, 'w')"),
        lambda trap: Harmful(open, str(trap), "w"),
        lambda trap: Harmful(argparse.Namespace),
        lambda trap: Harmful(type(trap).touch, trap),
    ],
)
def test_code_is_refused(tmp_path, trap, harm, zipped):
    path = tmp_path / "model.ckpt"
    torch.save({"state_dict": {}, "callbacks": harm(trap)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"is refused: it would call .* harmful code") as caught:
        load_checkpoint(path)
    assert len(str(caught.value).splitlines()) == 1
    assert not trap.exists()


def test_no_checkpoints(tmp_path):
    with pytest.raises(CheckpointError, match=r"There is no checkpoint at .*none"):
        load_checkpoint(tmp_path / "none.ckpt")
    with pytest.raises(CheckpointError, match="that is a folder"):
        load_checkpoint(tmp_path)
    path = tmp_path / "a.ckpt"
    for content in (b"", b"text\n", bytes(1000), b"PK\x03\x04 no zip"):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="cannot be read as a checkpoint") as caught:
            load_checkpoint(path)
        assert "weights_only" not in str(caught.value)
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="must hold a dictionary, but holds a list"):
        load_checkpoint(path)
    for content in ({}, {"state_dict": {"a": torch.ones(1)}}, {"model": {}}, {"state_dict": 3}):
        torch.save(content, path)
        with pytest.raises(CheckpointError, match="is of no known family"):
            load_checkpoint(path)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_truncated(tmp_path, zipped, share):
    path = tmp_path / "model.ckpt"
    torch.save({"state_dict": {"a": torch.ones(5000)}}, path, _use_new_zipfile_serialization=zipped)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint"):
        load_checkpoint(path)
