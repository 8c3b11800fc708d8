"""Pictures that are damaged, huge, none at all, or of rare kinds."""

from __future__ import annotations

import io
import os
import random
import struct
import zlib
from pathlib import Path

from ..case import Case, Right
from ..mutations import damaged_bytes
from .models import predict


def draw(rng: random.Random, kit: Path) -> Case:
    name, right, content, special = _picture(rng, kit)
    use = rng.choice(("predict", "predict", "own"))
    if use == "own" and right == "accepted":
        right = "either"

    def write(folder: Path) -> list[str]:
        images = folder / "images"
        images.mkdir()
        path = images / "picture.png"
        if special == "fifo":
            os.mkfifo(path)
        elif special == "device":
            path.symlink_to("/dev/zero")
        elif special == "folder":
            path.mkdir()
        elif special != "missing":
            path.write_bytes(content)
        if use == "own":
            (folder / "own.csv").write_text("image,caption\npicture.png,a dog\n")
            return [
                "data",
                "prepare",
                "own",
                "--file",
                str(folder / "own.csv"),
                "--root",
                str(images),
                "--output",
                str(folder / "tables"),
                "--facts",
                "none",
            ]
        words = predict(kit, "vqa", kit / "run" / "vqa" / "best", folder)
        words[words.index("--image") + 1] = str(path)
        return words

    return Case(f"{use}: {name}", write, right)


def _picture(rng: random.Random, kit: Path) -> tuple[str, Right, bytes, str]:
    from PIL import Image

    kind = rng.choice(
        (
            "damaged",
            "mode",
            "huge",
            "bomb",
            "html",
            "svg",
            "fifo",
            "device",
            "folder",
            "missing",
            "pdf",
            "frames",
            "one pixel",
            "strip",
            "exif",
        )
    )
    sound = min((kit / "raw" / "own-captions" / "images").iterdir()).read_bytes()
    if kind == "damaged":
        name, content = damaged_bytes(sound, rng)
        return name, "either" if name.split()[0] in ("flipped", "tail", "cut") else "refused", content, ""
    if kind == "mode":
        mode = rng.choice(("1", "L", "LA", "P", "RGBA", "I;16", "I", "CMYK", "F"))
        buffer = io.BytesIO()
        Image.new(mode, (30, 20)).save(buffer, "TIFF" if mode in ("CMYK", "F", "I") else "PNG")
        return f"of mode {mode}", "either" if mode in ("I", "F") else "accepted", buffer.getvalue(), ""
    if kind == "huge":
        return "20,000 pixels a side", "refused", _png(20_000, 20_000, b""), ""
    if kind == "bomb":
        side = 12_000
        rows = zlib.compressobj()
        data = b"".join(rows.compress(b"\x00" * (1 + side * 3)) for _ in range(side)) + rows.flush()
        return "12,000 pixels a side, whole", "refused", _png(side, side, data), ""
    if kind == "frames":
        buffer = io.BytesIO()
        Image.new("P", (20, 20)).save(
            buffer,
            "GIF",
            save_all=True,
            append_images=[Image.new("P", (20, 20), index) for index in range(30)],
        )
        return "of thirty frames", "either", buffer.getvalue(), ""
    if kind == "exif":
        buffer = io.BytesIO()
        exif = Image.Exif()
        exif[0x0112] = rng.choice((3, 6, 8, 99))
        Image.new("RGB", (30, 20)).save(buffer, "JPEG", exif=exif)
        return "with an orientation", "accepted", buffer.getvalue(), ""
    if kind in ("one pixel", "strip"):
        buffer = io.BytesIO()
        Image.new("RGB", (1, 1) if kind == "one pixel" else (3, 5_000)).save(buffer, "PNG")
        return kind, "either", buffer.getvalue(), ""
    content = {
        "html": b"<!DOCTYPE html><html>404</html>",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "pdf": b"%PDF-1.4\n%\xe2\xe3",
    }.get(kind, b"")
    return kind, "refused", content, kind


def _png(width: int, height: int, data: bytes) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
