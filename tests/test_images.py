"""The one decoder of images: what viewers show, whoever decodes, or one sentence."""

import inspect
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from vkood.images import MAX_PIXELS, ImageProblem, MissingImage, decode_image

SAMPLES = Path(__file__).parent / "data" / "images"


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decoded(source):
    image = decode_image(source, name="it")
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, bits, colour, rows, *more, claim=None):
    """A PNG file, written by hand: Pillow writes none with samples of 2 or 4 bits, or 16 bits and a colour."""
    header = struct.pack(">IIBBBBB", *(claim or (width, height)), bits, colour, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = (chunk(b"IHDR", header), *more, chunk(b"IDAT", body), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_the_samples():
    assert decode_image(SAMPLES / "exif_rotated.jpg", name="it").size == (20, 40)
    square = decoded(SAMPLES / "black_square_on_transparent.png")
    assert square[0, 0].tolist() == [255, 255, 255]
    assert square[12, 12].tolist() == [0, 0, 0]
    assert decoded(SAMPLES / "grey16_dark_0_to_250.png").max() == 1
    full = decoded(SAMPLES / "grey16_full_range.png")
    assert (full.min(), full.max()) == (0, 255)
    assert 100 < full.mean() < 155
    cmyk = decoded(SAMPLES / "cmyk.jpg")
    assert (cmyk[2, 2].tolist(), cmyk[17, 38].tolist()) == ([236, 241, 0], [40, 40, 220])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_orientation(orientation, kind):
    values = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(
        Image.fromarray(values), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {})
    )
    opened = Image.open(io.BytesIO(content))
    shown = np.asarray(ImageOps.exif_transpose(opened)).astype(int)
    assert shown.shape == ((4, 6, 3) if orientation < 5 else (6, 4, 3))
    np.testing.assert_array_equal(decoded(content), shown)
    np.testing.assert_array_equal(decoded(Image.open(io.BytesIO(content))), shown)
    # Decoding what was decoded changes nothing more.
    np.testing.assert_array_equal(decoded(decode_image(content, name="it")), shown)


def test_damaged_metadata_leaves_the_image_as_it_is_stored():
    image = Image.new("RGB", (6, 4), "red")
    for exif in (
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0",
        b"Exif\0\0nonsense",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff",
    ):
        assert decoded(encoded(image, "JPEG", exif=exif)).shape == (4, 6, 3)
    image.info["exif"] = "no bytes"
    assert decoded(image).shape == (4, 6, 3)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "La", "RGBa"])
def test_transparency_is_white(mode):
    grey = Image.new("L", (3, 1), 60)
    alpha = Image.fromarray(np.array([[0, 128, 255]], np.uint8))
    image = Image.merge("LA", (grey, alpha))
    if mode in ("RGBA", "RGBa"):
        image = image.convert("RGBA")
    if mode == "PA":
        image = image.convert("RGBA").convert("PA")
    image = image if image.mode == mode else image.convert(mode)
    np.testing.assert_allclose(decoded(image)[0, :, 0], [255, 157, 60], atol=2)


def test_transparent_palettes():
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8)).convert("P")
    image.putpalette([0, 0, 0, 200, 0, 0, 0, 0, 200])
    expected = [[255, 255, 255], [200, 0, 0], [0, 0, 200]]
    for kind in ("PNG", "GIF"):
        assert decoded(encoded(image, kind, transparency=0))[0].tolist() == expected
    half = decoded(encoded(image, "PNG", transparency=bytes([0, 255, 128])))[0]
    np.testing.assert_allclose(half, [*expected[:2], [127, 127, 227]], atol=1)
    rgb = Image.open(io.BytesIO(encoded(image, "PNG", transparency=0))).convert("RGB")
    assert decoded(rgb)[0].tolist() == expected


@pytest.mark.parametrize(
    ("bits", "row", "transparent", "expected"),
    [
        (1, b"\x40", 1, [0, 255, 0, 0]),  # white is transparent
        (1, b"\x40", 0, [255, 255, 255, 255]),
        (2, b"\x1b", 2, [0, 85, 255, 255]),
        (4, b"\x07\x9f", 7, [0, 255, 153, 255]),
        (8, b"\0\x10\x20\xff", 0x20, [0, 16, 255, 255]),
        (16, b"\0\0\x80\0\x10\x10\xff\xff", 0x8000, [0, 255, 16, 255]),
    ],
)
def test_a_transparent_grey(bits, row, transparent, expected):
    content = png(4, 1, bits, 0, [row], chunk(b"tRNS", struct.pack(">H", transparent)))
    assert decoded(content)[0, :, 0].tolist() == expected


def test_a_transparent_colour():
    eight = png(2, 1, 8, 2, [bytes([9, 8, 7, 9, 8, 6])], chunk(b"tRNS", struct.pack(">3H", 9, 8, 7)))
    assert decoded(eight)[0].tolist() == [[255, 255, 255], [9, 8, 6]]
    rows = [struct.pack(">6H", 0x1234, 0x5678, 0x9ABC, 0x2234, 0x5678, 0x9ABC)]
    sixteen = png(2, 1, 16, 2, rows, chunk(b"tRNS", struct.pack(">3H", 0x1234, 0x5678, 0x9ABC)))
    assert decoded(sixteen)[0].tolist() == [[255, 255, 255], [0x22, 0x56, 0x9A]]


def test_wide_samples_go_by_their_depth():
    values = np.array([[0, 250, 257 * 100, 65_535]], np.uint16)
    expected = [0, 1, 100, 255]
    for kind in ("PNG", "TIFF", "PPM"):
        assert decoded(encoded(Image.fromarray(values), kind))[0, :, 1].tolist() == expected
    assert decoded(Image.fromarray(values.astype(np.int32)))[0, :, 1].tolist() == expected
    # White is zero, as scanners have it.
    assert decoded(encoded(Image.fromarray(values), "TIFF", tiffinfo={262: 0}))[0, :, 1].tolist() == [
        255 - value for value in expected
    ]
    floats = np.array([[0, 0.4, 100, 255]], np.float32)
    assert decoded(encoded(Image.fromarray(floats), "TIFF"))[0, :, 1].tolist() == [0, 0, 100, 255]


@pytest.mark.parametrize(
    "values",
    [[0, 256.0], [-1.0, 3.0], [np.nan, 3.0], [np.inf, 3.0], [0.0, 0.9]],
)
def test_floating_point_on_another_scale_is_refused(values):
    with pytest.raises(
        ImageProblem, match=r"it has (floating-point )?values .* must have values from 0 \(black\) to 255"
    ):
        decoded(encoded(Image.fromarray(np.array([values], np.float32)), "TIFF"))


@pytest.mark.parametrize("values", [[0, 65_536], [-1, 3], [0, 2**31 - 1]])
def test_integers_on_another_scale_are_refused(values):
    with pytest.raises(ImageProblem, match=r"it has values from .* to 65,535 \(white\)"):
        decoded(Image.fromarray(np.array([values], np.int32)))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"])
def test_other_modes_are_as_pillow_converts_them(mode):
    image = Image.fromarray(np.linspace(0, 255, 8 * 6 * 3).astype(np.uint8).reshape(6, 8, 3))
    image = image.convert("CMYK" if mode == "CMYK" else mode)
    np.testing.assert_array_equal(decoded(image), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_the_first_frame(kind):
    frames = [Image.new("RGB", (5, 4), colour) for colour in ("red", "blue")]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(decoded(content)[0, 0], [255, 0, 0], atol=3)


def test_what_comes_in_memory_is_left_as_it_is():
    image = Image.new("RGB", (4, 4), "red")
    image.info["dpi"] = (72, 72)
    assert decode_image(image, name="it") is image
    clear = Image.new("RGBA", (4, 4))
    clear.info["exif"] = b"Exif\0\0"
    decode_image(clear, name="it")
    assert (clear.mode, clear.info) == ("RGBA", {"exif": b"Exif\0\0"})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"nothing", r"is in no format that is read \(.*JPEG.*PNG.*\)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "pointer of Git LFS; .*git lfs pull"),
        (b"\n <!DOCTYPE html><html>404</html>", "is a web page"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "is a web page"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "is an SVG drawing"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is in no format that is read"),
        (encoded(Image.effect_noise((60, 60), 90))[:-900], "cannot be decoded, and may be truncated"),
        (encoded(Image.effect_noise((60, 60), 90), "JPEG")[:-900], "cannot be decoded, and may be truncated"),
        (png(5, 5, 8, 0, [bytes(5)] * 5, claim=(12_000, 12_000)), f"{MAX_PIXELS:,} pixels"),
        (
            png(5, 5, 8, 0, [bytes(5)] * 5, claim=(10_000, 10_000)),
            f"{MAX_PIXELS:,} pixels; it has 10,000 x 10,000",
        ),
        (png(5, 5, 8, 0, [bytes(5)] * 5, claim=(2**31 - 1, 2**31 - 1)), f"{MAX_PIXELS:,} pixels"),
        (png(5, 5, 8, 0, [bytes(5)] * 5, claim=(3_000, 3_000)), "may be truncated"),
        (png(0, 0, 8, 0, []), r"is in no format|from 1 to"),
    ],
)
def test_what_is_no_image_is_named(content, reason, tmp_path):
    path = tmp_path / "[b]a.png"
    path.write_bytes(content)
    for source in (content, path, str(path)):
        with pytest.raises(ImageProblem, match=rf"^images\[1\],?.* {reason}") as error:
            decode_image(source, name="images[1]")
        assert "\n" not in str(error.value)


def test_what_is_no_file_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, reason in (
        (tmp_path / "none.png", "no such file"),
        (tmp_path, "is a folder"),
        (tmp_path / "pipe", "is a pipe"),
        ("/dev/zero", "is a pipe, a socket or a device"),
        ("a\0b", "zero byte"),
        ("x" * 5_000, "too long"),
        ("https://example.org/a.png", "no such file"),
    ):
        with pytest.raises(ImageProblem, match=rf"^images\[1\], .* must be a picture.*{reason}"):
            decode_image(path, name="images[1]")
    with pytest.raises(MissingImage) as error:
        decode_image(tmp_path / "none.png", name="images[1]")
    assert isinstance(error.value, FileNotFoundError)
    for source in (None, 3, [b""], {}):
        with pytest.raises(ImageProblem, match="file's name or content, a PIL image or an array; got"):
            inspect.unwrap(decode_image)(source, name="images[1]")  # without the check of types under pytest


def test_arrays():
    values = np.zeros((2, 3, 4), np.uint8)
    assert decoded(values).min() == 255
    assert (
        decoded(values[..., :3]).max() == decoded(values[..., 0]).max() == decoded(values[..., :1]).max() == 0
    )
    for wrong in (np.zeros((0, 3), np.uint8), np.zeros((2, 2, 2), np.uint8), np.zeros(4, np.uint8)):
        with pytest.raises(ImageProblem, match="must be an array of"):
            decoded(wrong)
    with pytest.raises(ImageProblem, match=r"must be an array of bytes, 0 to 255 \(uint8\); got float64"):
        decoded(np.zeros((2, 2)))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "JPEG2000", "PPM", "AVIF"])
def test_random_damage_ends_in_an_image_or_in_one_sentence(kind):
    generator = np.random.default_rng(5)
    whole = encoded(Image.fromarray(generator.integers(0, 256, (24, 31, 3), dtype=np.uint8)), kind)
    for _ in range(60):
        content = bytearray(whole)
        for place in generator.integers(0, len(content) if generator.random() < 0.5 else 64, 4):
            content[place] = generator.integers(256)
        content = bytes(content[: generator.integers(1, len(content)) if generator.random() < 0.3 else None])
        try:
            decoded(content)
        except ImageProblem as error:
            assert "\n" not in str(error)
