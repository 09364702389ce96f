"""Names that users chose, made fit to be shown: they may hold markup, line breaks, or marks that turn text around."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")

_LONGEST = 40
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # control, format, surrogate, private, unassigned, separators


def visible(text: object) -> str:
    """Return a text on one line, each character that is not seen or turns the reading direction shown as "�"."""
    return "".join("�" if unicodedata.category(character) in _UNSEEN else character for character in str(text))


def short(text: object, longest: int = _LONGEST) -> str:
    """Return a visible text of at most `longest` characters; its middle gives way to "…"."""
    text = visible(text)
    if len(text) <= longest:
        return text
    head = (longest - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (longest - 1 - head) :]}"


def short_names(names: Iterable[T], longest: int = _LONGEST) -> dict[T, str]:
    """Return a short visible text for each name, no two alike."""
    taken: dict[T, str] = {}
    for name in dict.fromkeys(names):
        text, count = short(name, longest), 1
        while text in taken.values():
            count += 1
            text = f"{short(name, longest - 4)} ({count})"
        taken[name] = text
    return taken
