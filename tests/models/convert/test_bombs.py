"""Files of a few kilobytes that would fill the memory, or hang, end at once with a sentence."""

import os
import pickle
import struct
import zipfile

import pytest
import torch

from support.foreign_files import METER_TEXT, meter_content, meter_state, saved
from vkood.models.convert import CheckpointError, load_checkpoint
from vkood.models.convert.pickles import Limits
from vkood.models.convert.reading import read_checkpoint

PROTO, STOP = b"\x80\x02", b"."
ORDERED = b"ccollections\nOrderedDict\n"
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"


# Low enough for tests that check the type of every argument.
LIMITS = Limits(num_bytes=2**21, num_instructions=20_000, num_copied=20_000, num_entries=50)


def archive(path, content, *, storages=(), compression=zipfile.ZIP_STORED):
    """A zip archive as `torch.save` writes it, around a pickle."""
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("archive/data.pkl", content)
        file.writestr("archive/version", "3\n")
        for number, storage in enumerate(storages):
            file.writestr(f"archive/data/{number}", storage)
    return path


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value):
    data = value.to_bytes(9, "little", signed=True)
    return b"\x8a\x09" + data


def tensor(size, stride, *, offset=0, numel=4, kind=b"FloatStorage", key="0"):
    """The instructions for a tensor."""
    storage = (
        b"(" + text("storage") + b"ctorch\n" + kind + b"\n" + text(key) + text("cpu") + number(numel) + b"tQ"
    )

    def numbers(values):
        return b"(" + b"".join(map(number, values)) + b"t"

    return (
        TENSOR
        + b"("
        + storage
        + number(offset)
        + numbers(size)
        + numbers(stride)
        + b"\x89"
        + ORDERED
        + b")RtR"
    )


def holding(part):
    """A pickle of a dictionary that holds something under `state_dict`."""
    return PROTO + b"}" + text("state_dict") + part + b"s" + STOP


BOMBS = {
    "tuples nested deeply, as a key": (holding(b"}" + b")" + b"\x85" * 2_000 + b"Ns"), "nested more than"),
    "lists nested deeply": (holding(b"]" * 1_000 + b"a" * 999), "nested more than"),
    "a name of 1 MB": (holding(b"c" + b"a" * 2**20 + b"\nb\n"), "names something of more than 300 letters"),
    "a name of 1 MB without an end": (
        holding(b"cbuiltins\n" + b"a" * 2**20),
        "names something of more than 300",
    ),
    "many names": (
        holding(b"(" + b"".join(b"ca\nb%d\n" % place for place in range(600)) + b"t"),
        "names more than 500",
    ),
    "many instructions": (holding(b"]" + b"Na" * 20_000), "more than 20,000 instructions"),
    "a list of bytes": (
        holding(b"cbuiltins\nbytearray\n" + number(2**40) + b"\x85R"),
        "would call builtins.bytearray",
    ),
    "a tensor by its size": (
        holding(b"ctorch\nFloatTensor\n" + number(2**40) + b"\x85R"),
        "would call torch.FloatTensor",
    ),
    "copies of copies": (
        holding(
            b"](" + b"".join(map(number, range(1_000))) + b"eq\x01(" + (ORDERED + b"h\x01\x85R") * 100 + b"ta"
        ),
        "copies containers again and again",
    ),
    "a huge tensor over four values": (holding(tensor((2**30, 2**30), (0, 0))), "over a storage of 4 values"),
    "a tensor beyond its storage": (holding(tensor((5,), (1,))), "reaches beyond its storage"),
    "an offset beyond the storage": (holding(tensor((1,), (1,), offset=2**40)), "reaches beyond its storage"),
    "a stride beyond the storage": (holding(tensor((2,), (2**40,))), "reaches beyond its storage"),
    "a negative stride": (holding(tensor((2,), (-1,))), "not whole numbers"),
    "a negative size": (holding(tensor((-2,), (1,))), "not whole numbers"),
    "sizes and strides that differ": (holding(tensor((2, 2), (1,))), "not whole numbers"),
    "a storage that claims more": (
        holding(tensor((2**30,), (1,), numel=2**30)),
        "claims 1,073,741,824 values",
    ),
    "a storage that is not there": (holding(tensor((1,), (1,), key="7")), "no values for the storage '7'"),
    "a storage of an unknown kind": (
        holding(tensor((1,), (1,), kind=b"QInt8Storage")),
        "a storage of a kind",
    ),
    "a memo that is not there": (holding(b"h\x05"), "damaged"),
    "nothing on the stack": (PROTO + b"s.", "damaged"),
    "no end": (PROTO + b"}", "truncated"),
    "another protocol": (pickle.dumps({"state_dict": [1, 2]}, protocol=4), "not what `torch.save` writes"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_pickles(tmp_path, name):
    content, problem = BOMBS[name]
    path = archive(tmp_path / "a.ckpt", content, storages=[bytes(16)])
    with pytest.raises(CheckpointError, match=problem) as caught:
        read_checkpoint(path, limits=LIMITS)
    assert len(str(caught.value)) < 600


def test_what_is_no_bomb_is_read(tmp_path):
    path = archive(
        tmp_path / "a.ckpt", holding(tensor((2, 2), (2, 1))), storages=[struct.pack("4f", 1, 2, 3, 4)]
    )
    assert read_checkpoint(path)["state_dict"].tolist() == [[1, 2], [3, 4]]
    content = {
        "a": torch.ones(3).expand(5, 3),
        "b": torch.ones(6)[::2],
        "c": torch.zeros(0, 4),
        "d": torch.tensor(1),
        "e": torch.nn.Parameter(torch.ones(2)),
        "f": {1, 2},
        "g": b"bytes",
        "h": torch.ones(2, 3).T,
    }
    for zipped in (True, False):
        torch.save(content, tmp_path / "b.pth", _use_new_zipfile_serialization=zipped)
        read = read_checkpoint(tmp_path / "b.pth")
        assert all(torch.equal(read[name], content[name]) for name in "abcdeh")
        assert read["f"] == {1, 2}


def test_archives(tmp_path):
    small = pickle.dumps({}, protocol=2)
    for build, problem in (
        (
            lambda path: archive(path, small + bytes(2**20), compression=zipfile.ZIP_DEFLATED),
            "its parts are compressed",
        ),
        (lambda path: archive(path, small + bytes(2**21)), "its pickle has more than"),
        (lambda path: archive(path, small, storages=[b""] * 50), "far too many"),
    ):
        path = build(tmp_path / "a.ckpt")
        with pytest.raises(CheckpointError, match=problem):
            read_checkpoint(path, limits=LIMITS)
    with zipfile.ZipFile(tmp_path / "b.ckpt", "w") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("archive/data.pkl", small)
        file.writestr("archive/data.pkl", small)
    with pytest.raises(CheckpointError, match="entries of the same name"):
        load_checkpoint(tmp_path / "b.ckpt")
    with zipfile.ZipFile(tmp_path / "c.ckpt", "w") as file:
        file.writestr("letters/a.txt", "dear")
    with pytest.raises(CheckpointError, match=r"none that `torch\.save` has written"):
        load_checkpoint(tmp_path / "c.ckpt")
    with zipfile.ZipFile(tmp_path / "d.ckpt", "w") as file:
        for name in ("data.pkl", "constants.pkl", "code/net.py"):
            file.writestr(f"net/{name}", small)
    with pytest.raises(CheckpointError, match="a TorchScript archive"):
        load_checkpoint(tmp_path / "d.ckpt")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 3\n", "a Git LFS pointer"),
        (b"\n<!DOCTYPE html><html><body>Not found</body></html>", "a web page"),
        (b"<HTML>", "a web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML page"),
        (b"\x1f\x8b\x08\x00rest", "compressed by gzip"),
        (b"", "is empty"),
        (bytes(257) + b"ustar" + bytes(300), "a tar archive"),
        (b'{"error": "not found"}', "it is not one"),
    ],
)
def test_what_is_no_checkpoint_is_named(tmp_path, content, problem):
    (tmp_path / "a.ckpt").write_bytes(content)
    with pytest.raises(CheckpointError, match=problem):
        load_checkpoint(tmp_path / "a.ckpt")


def test_safetensors_that_lie(tmp_path):
    for header in (
        b'{"a": {"dtype": "F32", "shape": [1073741824], "data_offsets": [0, 4294967296]}}',
        b'{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 8]}}',
        b'{"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}',
        b"{" * 100_000,
    ):
        (tmp_path / "a.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(16))
        with pytest.raises(CheckpointError, match="cannot be read as a checkpoint"):
            load_checkpoint(tmp_path / "a.safetensors")


def test_special_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.ckpt")
    with pytest.raises(CheckpointError, match="must be a regular file, but is a pipe"):
        load_checkpoint(tmp_path / "pipe.ckpt")
    with pytest.raises(CheckpointError, match="must be a regular file, but is a pipe, a socket or a device"):
        load_checkpoint("/dev/zero")


def test_very_many_layers_and_keys(tmp_path):
    state = dict(meter_state())
    for layer in range(2, 300):
        state[f"text_transformer.encoder.layer.{layer}.output.dense.bias"] = torch.ones(1)
    with pytest.raises(CheckpointError, match="has 300 layers; at most 200 are read"):
        load_checkpoint(saved(tmp_path / "a.ckpt", meter_content(state)), METER_TEXT)
    state = dict(meter_state()) | {"x" * 10**6: torch.ones(1)}
    with pytest.raises(CheckpointError, match=r"has besides x+\.\.\.x+") as caught:
        load_checkpoint(
            saved(tmp_path / "b.ckpt", meter_content(state)), {"model_type": "bert", "num_attention_heads": 2}
        )
    assert len(str(caught.value)) < 400
