"""Picture files that are damaged, lie about themselves, or are rare."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image, PngImagePlugin

from tests.data.writing import noise


def saved(picture: Image.Image, kind: str, **options) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, pixels: bytes = b"", *, depth=8, colour=2, before: bytes = b"") -> bytes:
    """Return a PNG whose header may say anything."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header) + before + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def bmp(width: int, height: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + header + bytes(100)


PIXELS = noise(12, 10)
RGB = Image.fromarray(PIXELS)
JPEG, PNG, WEBP, BMP = (saved(RGB, kind) for kind in ("JPEG", "PNG", "WEBP", "BMP"))
BOMB = zlib.compress(bytes(200_000_000), 9)  # 200 MB of text in 200 kB


def _halves() -> dict[str, tuple[str, bytes]]:
    kinds = {"jpg": JPEG, "png": PNG, "webp": WEBP, "bmp": BMP}
    return {
        f"{kind}, the first {len(content) * part // 8} bytes": (kind, content[: len(content) * part // 8])
        for kind, content in kinds.items()
        for part in (1, 4, 7)
    }


def _exif(orientation) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def _info() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "\x1b[2J" * 100, zip=True)
    return info


# The suffix and the content of files that are refused.
BROKEN: dict[str, tuple[str, bytes]] = {
    **_halves(),
    "nothing": ("png", b""),
    "zero bytes": ("jpg", bytes(1000)),
    "text": ("png", b"not a picture"),
    "SVG": ("png", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    "PostScript": ("jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(owned) (w) file\n%%EOF\n"),
    "PDF": ("jpg", b"%PDF-1.4\n"),
    "GIF": ("png", saved(RGB.quantize(), "GIF")),
    "TIFF": ("png", saved(RGB, "TIFF")),
    "TGA": ("bmp", saved(RGB, "TGA")),
    "a signature alone": ("png", PNG[:8]),
    "start of JPEG": ("jpg", b"\xff\xd8\xff"),
    "no pixel high": ("png", png(10, 0)),
    "no pixel": ("png", png(0, 0)),
    "one pixel": ("png", saved(RGB.crop((0, 0, 1, 1)), "PNG")),
    "2^31 pixels wide": ("png", png(2**31 - 1, 1)),
    "60,000 pixels": ("png", png(60_000, 60_000)),
    "somewhat too many": ("png", png(20_000, 5_001)),
    "many pixels, none there": ("png", png(10_000, 9_999)),
    "too much data": ("png", png(10, 12, b"\xff" * 10)),
    "an unknown depth": ("png", png(10, 12, bytes(1000), depth=7)),
    "an unknown colour": ("png", png(10, 12, bytes(1000), colour=9)),
    "a wrong sum": ("png", PNG[:40] + b"\0\0\0\0" + PNG[44:]),
    "a palette that lacks": ("png", png(10, 12, bytes(1000), colour=3, before=chunk(b"PLTE", b""))[:50]),
    "a text that is a bomb": ("png", png(10, 12, bytes(1000), before=chunk(b"zTXt", b"k\0\0" + BOMB))),
    "a BMP of 2^31 pixels": ("bmp", bmp(2**31 - 1, 1)),
    "a BMP of negative width": ("bmp", bmp(-10, 10)),
    "a BMP without pixels": ("bmp", bmp(2_000, 2_000)),
    "a long BMP": ("bmp", bmp(1, -(2**31))),
}
# The suffix and the content of files that are read.
ODD: dict[str, tuple[str, bytes]] = {
    "PNG called JPEG": ("jpg", PNG),
    "JPEG called BMP": ("bmp", JPEG),
    "upper case": ("PNG", PNG),
    "more after the end": ("png", PNG + bytes(1000)),
    "inks": ("jpg", saved(RGB.convert("CMYK"), "JPEG")),
    "YCbCr": ("jpg", saved(RGB.convert("YCbCr"), "JPEG")),
    "progressive": ("jpg", saved(RGB, "JPEG", progressive=True)),
    "16 bits": ("png", saved(Image.fromarray(noise(12, 10, 1).astype(np.uint16) * 257), "PNG")),
    "16 bits of colours": ("png", png(2, 2, bytes(13 * 2), depth=16)),
    "1 bit": ("png", saved(RGB.convert("1"), "PNG")),
    "2 bits": ("png", saved(RGB.quantize(4), "PNG", bits=2)),
    "palette": ("png", saved(RGB.quantize(), "PNG")),
    "palette with transparency": ("png", saved(RGB.quantize(), "PNG", transparency=0)),
    "palette with opacities": ("png", saved(RGB.quantize(8), "PNG", transparency=bytes(range(8)))),
    "grey with transparency": ("png", saved(RGB.convert("LA"), "PNG")),
    "transparent": ("png", saved(Image.new("RGBA", (10, 12), (9, 9, 9, 0)), "PNG")),
    "one colour is transparent": ("png", saved(RGB, "PNG", transparency=(0, 0, 0))),
    "animated PNG": ("png", saved(RGB, "PNG", save_all=True, append_images=[RGB, RGB])),
    "animated WebP": ("webp", saved(RGB, "WEBP", save_all=True, append_images=[RGB, RGB])),
    "one pixel wide": ("png", saved(RGB.crop((0, 0, 1, 12)), "PNG")),
    "100,000 pixels wide": ("png", saved(Image.new("L", (100_000, 1)), "PNG")),
    "100,000 pixels high": ("png", saved(Image.new("L", (1, 100_000)), "PNG")),
    **{f"orientation {value}": ("jpg", saved(RGB, "JPEG", exif=_exif(value))) for value in (0, 3, 6, 9, 65_535)},
    "orientation of text": (
        "jpg",
        saved(RGB, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x03\0\0\0up\0\0"),
    ),
    "broken EXIF": ("jpg", saved(RGB, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")),
    "EXIF that is none": ("jpg", saved(RGB, "JPEG", exif=b"Exif\0\0" + b"\xff" * 100)),
    "EXIF in itself": ("jpg", saved(RGB, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\x08\0\0\0")),
    "a broken profile": ("png", saved(RGB, "PNG", icc_profile=b"none")),
    "a long comment": ("jpg", saved(RGB, "JPEG", comment=b"c" * 60_000)),
    "a text": ("png", saved(RGB, "PNG", pnginfo=_info())),
}
