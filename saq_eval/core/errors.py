"""Errors and warnings for users, each of one sentence."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, get_args


class SaqEvalError(ValueError):
    """A request that cannot be carried out: one sentence that names the thing, the value and what would work.

    The command line prints it and exits with code 2; Python callers catch it as a `ValueError`.
    """


class SaqEvalWarning(UserWarning):
    """Something that a user should know, but that stops nothing: one sentence, which the command line prints."""


def in_short(value: object) -> str:
    """Return a value's text for a message: its `repr` if that is short, else its type.

    A user may give a network or an array by mistake. Its `repr` would fill pages.
    """
    if value is None or isinstance(value, (str, int, float, bool, tuple, list, dict)):
        text = repr(value)
        if len(text) <= 200:
            return text
    name = getattr(value, "__name__", None)
    return f"the {type(value).__name__} {name}" if isinstance(name, str) else f"a {type(value).__name__}"


def unknown_name(kind: str, name: object, valid: Iterable[str]) -> SaqEvalError:
    """Return the error for a name that is not registered, with the nearest match and all valid names.

    A value that is not a string, such as a function or a network, is shown by `in_short`.
    """
    valid = list(valid)
    if not isinstance(name, str):
        return SaqEvalError(f"a {kind} is asked for by its name, not by {in_short(name)}; valid: {', '.join(valid)}")
    by_folded = {candidate.casefold(): candidate for candidate in valid}
    nearest = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.5)
    hint = f"; did you mean {by_folded[nearest[0]]!r}?" if nearest else ";"
    return SaqEvalError(f"unknown {kind} {name!r}{hint} valid: {', '.join(valid)}")


def check_choice(kind: str, given: object, choices: Any) -> None:
    """Raise the error of `unknown_name` unless a value is one of a `Literal` type's."""
    if given not in get_args(choices):
        raise unknown_name(kind, given, get_args(choices))
