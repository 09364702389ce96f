"""Checksums of the code that computes results. They keep stored results of other code from being used."""

from __future__ import annotations

import functools
import inspect
import uuid
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any


def code_of(function: Callable[..., Any], *packages: str) -> str:
    """Return a text that identifies the version of a function's code.

    It is a checksum of the module that defines the function, since a function may call others in it, and of packages of
    `saq_eval`. A notebook's cell or a closure outside `saq_eval` depends on more than a file. It gets a new text each time, so
    stored results are not used for a later version.

    Args:
        packages: the packages that the function's results depend on, such as "attribution".
    """
    ours = checksum_of_packages(*packages)
    module = inspect.getmodule(function)
    if module is not None and module.__name__.partition(".")[0] == "saq_eval":
        return f"{module.__name__.rpartition('.')[2]}-{ours}"
    alone = inspect.isfunction(function) and not function.__closure__
    if module and alone and getattr(module, "__file__", None) == function.__code__.co_filename:
        return f"{zlib.crc32(inspect.getsource(module).encode()):08x}-{ours}"
    return uuid.uuid4().hex


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
