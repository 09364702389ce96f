"""Picture files: every format and mode, and every way to be broken."""

import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from saq_eval import SaqEvalError
from saq_eval.core.errors import SaqEvalWarning
from saq_eval.data.geometry import Geometry
from saq_eval.data.pictures import Header, prove_readable, read_header, read_mask, read_picture
from tests.data.writing import noise, write


@pytest.mark.parametrize(
    ("name", "options"), [("a.png", {}), ("a.bmp", {}), ("A.PNG", {}), ("a.webp", {"lossless": True})]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_formats_give_the_written_bytes(tmp_path, name, options, channels):
    pixels = noise(5, 7, channels)
    path = write(tmp_path / name, pixels, **options)
    expected = torch.from_numpy(pixels).reshape(5, 7, channels).permute(2, 0, 1) / 255
    assert torch.equal(read_picture(path, channels), expected)
    assert read_picture(path, 3).shape == (3, 5, 7)
    header = read_header(path)
    assert (header.height, header.width) == (5, 7) and header == prove_readable(path)
    assert header.colour is (channels == 3 or name == "a.webp")  # WebP has no grey


def test_jpeg_is_near_the_written_bytes(tmp_path):
    smooth = np.linspace(0, 255, 32 * 24).reshape(32, 24).astype(np.uint8)
    read = read_picture(write(tmp_path / "a.jpg", smooth, quality=95), 1)
    assert (read[0] - torch.from_numpy(smooth) / 255).abs().max() < 0.02


def test_a_picture_is_turned_upright(tmp_path):
    pixels = noise(4, 6)
    exif = Image.Exif()
    for orientation, upright in {3: pixels[::-1, ::-1], 6: np.rot90(pixels, -1), 8: np.rot90(pixels)}.items():
        exif[0x0112] = orientation
        path = write(tmp_path / f"{orientation}.png", pixels, exif=exif)
        header, read = read_header(path), read_picture(path, 3)
        assert torch.equal(read, torch.from_numpy(upright.copy()).permute(2, 0, 1) / 255)
        assert (header.height, header.width) == tuple(read.shape[1:])


def test_transparent_pixels_are_black_and_it_is_said_once(tmp_path):
    pixels = noise(2, 2, 4)
    pixels[..., 3] = [[255, 0], [255, 128]]
    path = write(tmp_path / "a.png", pixels)
    with pytest.warns(SaqEvalWarning, match="transparent pixels of pictures are shown on black") as said:
        first, second = (read_picture(path, 3, source=str(tmp_path)) for _ in range(2))
    assert len(said) == 1 and torch.equal(first, second)
    assert torch.equal(first[:, :, 0], torch.from_numpy(pixels[:, 0, :3].T.copy()) / 255)
    assert (first[:, 0, 1] == 0).all()
    torch.testing.assert_close(
        first[:, 1, 1], torch.from_numpy(pixels[1, 1, :3]) / 255 * 128 / 255, atol=1 / 255, rtol=0
    )


def test_an_opaque_picture_with_transparency_is_no_warning(tmp_path):
    pixels = noise(2, 2, 4)
    pixels[..., 3] = 255
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_picture(write(tmp_path / "a.png", pixels), 3)


def test_palettes_bits_and_inks(tmp_path):
    pixels = noise(4, 4) // 64 * 64
    picture = Image.fromarray(pixels)
    picture.quantize(64).save(tmp_path / "palette.png")
    assert torch.equal(read_picture(tmp_path / "palette.png", 3), torch.from_numpy(pixels).permute(2, 0, 1) / 255)
    Image.fromarray(noise(4, 4, 1) > 128).save(tmp_path / "bits.png")
    assert set(read_picture(tmp_path / "bits.png", 1).unique().tolist()) == {0, 1}
    Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(tmp_path / "inks.jpg", quality=100)
    red = read_picture(tmp_path / "inks.jpg", 3)
    assert (red[0] > 0.9).all() and (red[1:] < 0.1).all()


def test_sixteen_bits_are_kept(tmp_path):
    values = np.array([[0, 1, 32768], [65535, 257, 3]], dtype=np.uint16)
    path = write(tmp_path / "a.png", values)
    expected = torch.from_numpy(values.astype(np.float32) / np.float32(65535))
    assert torch.equal(read_picture(path, 1)[0], expected)
    assert torch.equal(read_picture(path, 3), expected.expand(3, -1, -1))
    assert read_picture(path, 1, Geometry(4)).shape == (1, 4, 4) and not read_header(path).colour


def huge_png() -> bytes:
    """Return the first bytes of a picture of 60,000 × 60,000 pixels."""
    parts = {b"IHDR": struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0), b"IDAT": zlib.compress(bytes(100))}
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts.items()
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("read", [prove_readable, lambda path: read_picture(path, 3)])
def test_a_broken_file_is_named(tmp_path, read):
    whole = write(tmp_path / "whole.jpg", noise(64, 64)).read_bytes()
    png = write(tmp_path / "whole.png", noise(64, 64)).read_bytes()
    broken = {
        "empty.jpg": (b"", "the file is empty"),
        "text.png": (b"not a picture", "no JPEG, PNG, WebP or BMP"),
        "half.jpg": (whole[: len(whole) // 2], "truncated"),
        "half.png": (png[: len(png) // 2], "truncated"),
        "damaged.png": (png[:60] + bytes(40) + png[100:], "."),
        "huge.png": (huge_png(), "far more than 100 megapixels"),
        "dot.png": (write(tmp_path / "one.png", noise(1, 1)).read_bytes(), "one pixel"),
    }
    for name, (content, message) in broken.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SaqEvalError, match=rf"{name}: .*{message}"):
            read(tmp_path / name)
    with pytest.raises(SaqEvalError, match="gone.png: cannot be read as a picture: No such file"):
        read(tmp_path / "gone.png")


def test_a_picture_that_is_somewhat_too_large_is_refused_by_its_header(tmp_path):
    Image.new("1", (10_001, 10_000)).save(tmp_path / "large.png")
    with (
        pytest.warns(Image.DecompressionBombWarning),
        pytest.raises(SaqEvalError, match="10001x10000 pixels, more than"),
    ):
        read_header(tmp_path / "large.png")


def test_damaged_exif_data_do_not_matter(tmp_path):
    path = write(tmp_path / "a.jpg", noise(8, 9), exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert read_header(path) == Header(8, 9, True)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_any_pixel_but_zero_is_part_of_a_mask(tmp_path, mode):
    marked = np.zeros((3, 4), dtype=np.uint8)
    marked[1, 2:] = [1, 255]
    picture = Image.fromarray(marked if mode != "1" else marked > 0)
    if mode == "P":
        picture.putpalette([0, 0, 0] * 256)  # black, all of it: the number of the colour counts
    elif mode == "I;16":
        picture = Image.fromarray(marked.astype(np.uint16) * 256)
    elif mode != "1":
        picture = picture.convert(mode)  # opaque, where there is opacity
    picture.save(tmp_path / "mask.png")
    assert torch.equal(read_mask(tmp_path / "mask.png")[0], torch.from_numpy(marked > 0))
