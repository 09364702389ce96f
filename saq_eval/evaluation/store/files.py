"""Writing files of the store completely or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

PARTIAL = ".partial-"
_NUMBER = re.compile(r"os error (\d+)")


def is_partial(path: Path) -> bool:
    """Tell whether a file is one that a process is writing, or was killed while it wrote."""
    return path.name.startswith(PARTIAL)


@contextlib.contextmanager
def completely(path: Path) -> Iterator[Path]:
    """Yield the name of a file to write. At the end it gets its own name, or is removed if an error was raised.

    Raises:
        OSError: if the folder cannot be made, or the file cannot be moved.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{PARTIAL}{uuid.uuid4().hex}")
    try:
        yield partial
        partial.replace(path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text, completely or not at all; raises `OSError` if it cannot be written."""
    with completely(path) as partial:
        # A folder's name may hold bytes that are not valid text. They are written as escapes.
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_tensors(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file, completely or not at all; raises `OSError` if it cannot be written."""
    with completely(path) as partial:
        partial.touch()
        usual = partial.stat().st_mode  # safetensors lets nobody else read a file; people share stores
        try:
            save_file(dict(arrays), partial, metadata=None if metadata is None else dict(metadata))
            partial.chmod(usual)
        except SafetensorError as error:  # which holds the number of the system's error, if at all, in its text
            number = _NUMBER.search(str(error))
            if number is None:
                raise OSError(None, str(error)) from error
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
