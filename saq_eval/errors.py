"""What the user did wrong, said in one sentence."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class SaqEvalError(ValueError):
    """A request that cannot be carried out: one sentence that names the thing, the value and what would work.

    The command line prints it and exits with code 2; Python callers catch it as a `ValueError`.
    """


def unknown_name(kind: str, name: str, valid: Iterable[str]) -> SaqEvalError:
    """Return the error for a name that is not registered, with the nearest match and all valid names."""
    valid = list(valid)
    by_folded = {candidate.casefold(): candidate for candidate in valid}
    nearest = get_close_matches(str(name).casefold(), by_folded, n=1, cutoff=0.5)
    hint = f"; did you mean {by_folded[nearest[0]]!r}?" if nearest else ";"
    return SaqEvalError(f"unknown {kind} {name!r}{hint} valid: {', '.join(valid)}")
