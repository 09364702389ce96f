"""Checksums of the code that computes results. They keep stored results of other code from being used."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterable
from pathlib import Path


@functools.cache
def checksum_of_packages(*names: str) -> str:
    """Return a checksum of all Python files of some packages of `saq_eval`, such as "attribution": 8 hexadecimal digits.

    Raises:
        ValueError: if a package has no Python file.
    """
    package = Path(__file__).parents[1]
    sources = {name: sorted(package.glob(f"{name}/**/*.py")) for name in names}
    if not all(sources.values()):
        raise ValueError(f"no code in {[name for name, files in sources.items() if not files]}")
    return checksum_of_files(file for files in sources.values() for file in files)


def checksum_of_files(sources: Iterable[Path]) -> str:
    """Return a checksum of files' contents, in order: 8 hexadecimal digits."""
    value = 0
    for source in sources:
        value = zlib.crc32(source.read_bytes(), value)
    return f"{value:08x}"
