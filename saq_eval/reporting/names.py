"""Make users' names safe to show: they may hold line breaks, invisible characters, or marks that reverse text."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")

_LONGEST = 40
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # control, format, surrogate, private, unassigned, separators


def visible(text: object) -> str:
    """Return a text on one line; characters that are invisible or change the text's direction are replaced by "�"."""
    return "".join("�" if unicodedata.category(character) in _UNSEEN else character for character in str(text))


def short(text: object, longest: int = _LONGEST) -> str:
    """Return a visible text of at most `longest` characters; in a longer text, "…" replaces the middle."""
    text = visible(text)
    if len(text) <= longest:
        return text
    head = (longest - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (longest - 1 - head) :]}"


def short_names(names: Iterable[T], longest: int = _LONGEST) -> dict[T, str]:
    """Return a short visible text for each name; all texts are different."""
    taken: dict[T, str] = {}
    for name in dict.fromkeys(names):
        text, count = short(name, longest), 1
        while text in taken.values():
            count += 1
            text = f"{short(name, longest - 4)} ({count})"
        taken[name] = text
    return taken
