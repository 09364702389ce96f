"""Paths and names that come from the user."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from saq_eval.core.errors import SaqEvalError, in_short

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def user_path(path: str | os.PathLike) -> Path:
    """Return a path with `~` expanded; raises `SaqEvalError` if the value is no path or the home folder is unknown."""
    if not isinstance(path, (str, os.PathLike)):
        raise SaqEvalError(f"a path is a text, not {in_short(path)}")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise SaqEvalError(f"{path}: {error}") from error


def is_folder(path: Path) -> bool:
    """Tell whether a path is a folder; what cannot be a path, such as a name of 300 letters, is none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def check_name(kind: str, name: str) -> None:
    """Raise `SaqEvalError` unless `name` can be a folder's name and a word on the command line."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SaqEvalError(
            f"a {kind}'s name has up to 100 letters, digits, '.', '_' and '-', and starts with a letter or digit, "
            f"not {in_short(name)}"
        )


def check_file(path: Path, problem: str, most_bytes: int) -> None:
    """Raise `SaqEvalError` that names the problem, unless the path is a regular file of at most `most_bytes` bytes."""
    try:
        about = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SaqEvalError(f"{path}: {problem}: {reason}") from error
    if not stat.S_ISREG(about.st_mode):
        kind = "a folder" if stat.S_ISDIR(about.st_mode) else "a device or a pipe"
        raise SaqEvalError(f"{path}: {problem}: it is {kind}, not a file")
    if about.st_size > most_bytes:
        raise SaqEvalError(
            f"{path}: {problem}: it has {about.st_size / 2**20:,.0f} MiB, at most {most_bytes / 2**20:,.0f} may be"
        )
