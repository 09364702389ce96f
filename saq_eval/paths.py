"""Paths and names that come from the user."""

from __future__ import annotations

import os
import re
from pathlib import Path

from saq_eval.errors import SaqEvalError, in_short

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def user_path(path: str | os.PathLike) -> Path:
    """Return a path with `~` expanded; raises `SaqEvalError` where there is no such home, or for what is no path."""
    if not isinstance(path, (str, os.PathLike)):
        raise SaqEvalError(f"a path is a text, not {in_short(path)}")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise SaqEvalError(f"{path}: {error}") from error


def check_name(kind: str, name: str) -> None:
    """Raise `SaqEvalError` unless `name` can be a folder's name and a word on the command line."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SaqEvalError(
            f"a {kind}'s name has up to 100 letters, digits, '.', '_' and '-', and starts with a letter or digit, "
            f"not {in_short(name)}"
        )
