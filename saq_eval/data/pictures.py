"""Picture files: their headers, their pixels, and the proof that they can be read."""

from __future__ import annotations

import contextlib
import multiprocessing
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from saq_eval.core.errors import SaqEvalError, SaqEvalWarning
from saq_eval.core.paths import check_file
from saq_eval.data.geometry import Geometry

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
MOST_PIXELS = 100_000_000
MOST_BYTES = 2**30  # of a file; 100 megapixels of four channels of 16 bits, without compression, are less
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
_GREY = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F"})
_UPRIGHT = {  # by EXIF's orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Header:
    """What a picture's first bytes say: its height and width when it is upright, and whether it has colours."""

    height: int
    width: int
    colour: bool


def read_header(path: Path) -> Header:
    """Read a picture's header. No pixel is decoded.

    Raises:
        SaqEvalError: a file that is no picture, a picture of one pixel, or of more than 100 megapixels.
    """
    with _opened(path) as picture:
        return _header(picture)


def read_picture(path: Path, channels: int, geometry: Geometry | None = None, *, source: str = "") -> Tensor:
    """Return a picture, upright, float32 (channels, height, width) in [0, 1].

    Transparent pixels are laid on black, and a `SaqEvalWarning` says so once in a process for each `source`. Grey
    pictures of 16 bits are divided by 65535, others by 255.

    Args:
        channels: 1 or 3; a grey picture has three equal channels then.
        geometry: resizes and cuts the picture.
        source: what the picture belongs to, for the warning; by default its file.

    Raises:
        SaqEvalError: as `read_header` does; a file that ends too early; or a picture that is too small for the cut.
    """
    with _opened(path) as picture:
        upright = _UPRIGHT.get(_orientation(picture))
        picture.load()
        whole = picture if upright is None else picture.transpose(upright)
        return to_tensor(whole, channels, geometry, source or str(path))


def prove_readable(path: Path) -> Header:
    """Read all of a file, and decode as little of it as proves that it can be read; return its header.

    Raises:
        SaqEvalError: as `read_picture` does.
    """
    with _opened(path) as picture:
        header = _header(picture)
        if picture.format in ("JPEG", "MPO"):  # MPO: a JPEG file with a second picture, as telephones write it
            # An eighth of the size, in grey: all codes of the file are read, and few are transformed.
            picture.draft("L", (1, 1))
        picture.load()
        return header


def read_mask(path: Path) -> Tensor:
    """Return a mask picture, bool (1, height, width), true where any channel but opacity is not zero.

    The number of a palette's colour counts, not the colour.

    Raises:
        SaqEvalError: as `read_picture` does.
    """
    with _opened(path) as picture:
        picture.load()
        opaque = {"RGBA": "RGB", "LA": "L", "PA": "P"}.get(picture.mode)
        values = np.asarray(picture.convert(opaque) if opaque else picture)
        return torch.from_numpy(values.reshape(*values.shape[:2], -1).any(axis=2)).unsqueeze(0)


def to_tensor(picture: Image.Image, channels: int, geometry: Geometry | None, source: str) -> Tensor:
    """Return a decoded, upright picture as `read_picture` does; `source` is where it is from, for the warning."""
    if picture.mode.startswith("I") or picture.mode == "F":
        values = torch.from_numpy(np.asarray(picture, dtype=np.float32) / np.float32(65535)).clamp(0, 1)
        deep = values.expand(1, channels, -1, -1)
        return (deep if geometry is None else geometry.of_images(deep))[0].contiguous()
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        if rgba.getchannel("A").getextrema()[0] != 255:
            _say_transparent(source)
            rgba = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
        picture = rgba.convert("RGB")
    picture = picture.convert("L" if channels == 1 else "RGB")
    if geometry is not None:
        picture = geometry.of_picture(picture)
    values = torch.from_numpy(np.array(picture)).reshape(picture.height, picture.width, channels)
    return values.permute(2, 0, 1).to(torch.float32).div(255).contiguous()


def is_grey(picture: Image.Image) -> bool:
    """Return whether a picture's mode has no colours."""
    return picture.mode in _GREY


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open a picture, check its size, and name the file in whatever Pillow raises."""
    check_file(path, "cannot be read as a picture", MOST_BYTES)
    try:
        with Image.open(path, formats=_FORMATS) as picture:
            _check_size(path, picture)
            yield picture
    except SaqEvalError as error:
        raise error if str(path) in str(error) else SaqEvalError(f"{path}: {error}") from error
    except UnidentifiedImageError as error:
        empty = path.stat().st_size == 0
        reason = "the file is empty" if empty else "it is no JPEG, PNG, WebP or BMP picture"
        raise SaqEvalError(f"{path}: cannot be read as a picture: {reason}") from error
    except Image.DecompressionBombError as error:
        raise SaqEvalError(_too_large(path, "far more")) from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, MemoryError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise SaqEvalError(f"{path}: cannot be read as a picture: {reason}") from error


def _check_size(path: Path, picture: Image.Image) -> None:
    if picture.width * picture.height > MOST_PIXELS:
        raise SaqEvalError(_too_large(path, f"{picture.width}x{picture.height} pixels, more"))
    if picture.width * picture.height == 1:
        raise SaqEvalError(f"{path}: the picture has one pixel, in which nothing can be explained")


def _too_large(path: Path, how_many: str) -> str:
    return (
        f"{path}: the picture has {how_many} than {MOST_PIXELS // 10**6} megapixels: make it smaller, or leave it out"
    )


def _header(picture: Image.Image) -> Header:
    turned = _orientation(picture) >= 5
    height, width = (picture.width, picture.height) if turned else (picture.height, picture.width)
    return Header(height, width, not is_grey(picture))


def _orientation(picture: Image.Image) -> int:
    """Return EXIF's orientation, 1 to 8; 1, upright, if the picture has none that can be read."""
    if picture.format == "PNG" and "exif" not in picture.info:
        return 1  # Pillow would decode the whole picture to look for it behind the pixels
    try:
        orientation = picture.getexif().get(0x0112, 1)
    except (OSError, SyntaxError, ValueError, KeyError, TypeError, struct.error):  # damaged EXIF data in a good picture
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


@cache
def _say_transparent(source: str) -> None:
    if multiprocessing.parent_process() is None:  # for a worker process, its parent has already warned
        warnings.warn(f"{source}: transparent pixels of pictures are shown on black", SaqEvalWarning, stacklevel=2)
