"""Reads plain data from files and checks each field against a dataclass (Pydantic)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from saq_eval.core.errors import SaqEvalError
from saq_eval.core.paths import check_file
from saq_eval.core.yaml_data import MOST_CHARACTERS, plain_data

T = TypeVar("T")

_adapter: Callable[[type], TypeAdapter] = functools.cache(TypeAdapter)


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds, as plain data.

    Raises:
        SaqEvalError: if the file cannot be read or is no YAML; it names the file.
    """
    return yaml_of(read_text(path), path)


def read_text(path: Path) -> str:
    """Return a YAML file's text; raises `SaqEvalError` that names the file where it cannot be read."""
    check_file(path, "cannot be read as YAML", most_bytes=MOST_CHARACTERS)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error


def yaml_of(text: str, source: Path) -> Any:
    """Return what a YAML file's text holds; raises `SaqEvalError` that names the file as `plain_data` does."""
    try:
        return plain_data(text)
    except SaqEvalError as error:
        raise _unreadable(source, error) from error


def _unreadable(path: Path, error: Exception) -> SaqEvalError:
    return SaqEvalError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}")


def parse(kind: type[T], data: Any, source: str | Path) -> T:
    """Build a dataclass from plain data; check each field and convert it to its type.

    Args:
        kind: a dataclass; unknown fields are errors if its `__pydantic_config__` forbids extras.
        data: plain data, as `read_yaml` returns it.
        source: where the data came from, such as a file, for the message.

    Raises:
        SaqEvalError: names the source and the first wrong field.
    """
    try:
        return _adapter(kind).validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        raise SaqEvalError(f"{source}: {field}{': ' if field else ''}{reason[:1].lower()}{reason[1:]}") from error


def read_record(kind: type[T], path: Path) -> T:
    """Build a dataclass from a YAML file; see `read_yaml` and `parse`."""
    return parse(kind, read_yaml(path), path)
