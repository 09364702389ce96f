"""Values of a plan's fields as they are given: names, numbers and networks, brought into one form."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from saq_eval.core.errors import SaqEvalError, in_short


def named(models: Mapping[Any, Any]) -> dict[str, Any]:
    """Return networks by name; raises `SaqEvalError` for a name that is no text."""
    for name in models:
        if not isinstance(name, str):
            raise SaqEvalError(f"a network's name is a text, not {in_short(name)}")
    if not models:
        raise SaqEvalError("at least one model is needed")
    return dict(models)


def numbers(name: str, given: Any) -> list[float] | None:
    """Return numbers as a list; one number may be given without a list, and `None` stays `None`."""
    if given is None:
        return None
    values = list(given) if isinstance(given, (Collection, Iterator)) and not isinstance(given, str) else [given]
    if not values or not all(isinstance(value, (int, float)) and math.isfinite(value) for value in values):
        raise SaqEvalError(f"{name} is one finite number per channel, not {in_short(given)}")
    return [float(value) for value in values]


def listed(kind: str, given: Any, *, functions: bool) -> list[Any] | None:
    """Return names as a list; a single name may be given without a list, and `None` stays `None`.

    Args:
        functions: whether functions are allowed too.

    Raises:
        SaqEvalError: if one of them is no string.
    """
    if given is None:
        return None
    several = isinstance(given, (Collection, Iterator)) and not isinstance(given, str)
    names: list[Any] = list(given) if several else [given]
    for name in names:
        if not isinstance(name, str) and not (functions and callable(name)):
            raise SaqEvalError(f"a {kind} is asked for by its name, not by {in_short(name)}")
    return names
