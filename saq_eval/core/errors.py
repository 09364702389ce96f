"""What the user did wrong, said in one sentence."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class SaqEvalError(ValueError):
    """A request that cannot be carried out: one sentence that names the thing, the value and what would work.

    The command line prints it and exits with code 2; Python callers catch it as a `ValueError`.
    """


class SaqEvalWarning(UserWarning):
    """What a user should know and what stops nothing: one sentence, which the command line prints."""


def in_short(value: object) -> str:
    """Return how a message names a value: as it is written where that is short, else by its type.

    What is given by mistake may be a network or an array, whose text fills pages.
    """
    if value is None or isinstance(value, (str, int, float, bool, tuple, list, dict)):
        text = repr(value)
        if len(text) <= 200:
            return text
    name = getattr(value, "__name__", None)
    return f"the {type(value).__name__} {name}" if isinstance(name, str) else f"a {type(value).__name__}"


def unknown_name(kind: str, name: object, valid: Iterable[str]) -> SaqEvalError:
    """Return the error for a name that is not registered, with the nearest match and all valid names.

    What is given in a name's place, such as a function or a network, is named by its type alone: it may be large.
    """
    valid = list(valid)
    if not isinstance(name, str):
        return SaqEvalError(f"a {kind} is asked for by its name, not by {in_short(name)}; valid: {', '.join(valid)}")
    by_folded = {candidate.casefold(): candidate for candidate in valid}
    nearest = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.5)
    hint = f"; did you mean {by_folded[nearest[0]]!r}?" if nearest else ";"
    return SaqEvalError(f"unknown {kind} {name!r}{hint} valid: {', '.join(valid)}")
