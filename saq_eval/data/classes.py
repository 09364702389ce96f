"""Class names: read from a file, and matched between images and a network's outputs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from difflib import get_close_matches

import torch
from torch import Tensor

from saq_eval.core.errors import SaqEvalError, in_short
from saq_eval.core.paths import check_file, user_path

_MOST_BYTES = 16 * 2**20
_MOST_NAMES = 100_000


def read_classes(given: str | os.PathLike | Sequence[str]) -> tuple[str, ...]:
    """Return class names in the order of a network's outputs.

    Args:
        given: the names; or a file with one name per line, or with a JSON list of names. Blank lines are left out.

    Raises:
        SaqEvalError: a file that cannot be read, or no names.
    """
    if not isinstance(given, (str, os.PathLike)):
        source, names = "classes", list(given)
    else:
        path = user_path(given)
        check_file(path, "cannot be read as class names", _MOST_BYTES)
        try:
            text = path.read_text(encoding="utf-8-sig")
            lines = [line.strip() for line in text.splitlines()]
            names = json.loads(text) if text.lstrip().startswith("[") else [line for line in lines if line]
        except (OSError, ValueError, RecursionError) as error:
            raise SaqEvalError(f"{path}: cannot be read as class names: {' '.join(str(error).split())}") from error
        source = str(path)
        if len(names) > _MOST_NAMES:
            raise SaqEvalError(f"{path}: holds {len(names):,} class names, at most {_MOST_NAMES:,} may be")
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise SaqEvalError(
            f"{source}: class names are one per line, or a JSON list of texts, in the order of the network's outputs, "
            f"not {in_short(names)}"
        )
    return tuple(name.strip() for name in names)


def folded(name: str) -> str:
    """Return a name without its case and separators: "Golden_Retriever" and "golden retriever" are one class."""
    return re.sub(r"[\W_]+", " ", name.casefold()).strip() or name


def match_labels(source: str, labels: Tensor, own: Sequence[str], names: Sequence[str]) -> Tensor:
    """Return labels as positions in `names`, int64 (n,).

    Classes are matched by name: exactly, else without regard to case and separators. Equal lists are matched by
    position, since some lists of networks hold a name twice. So are classes that are only numbered "0", "1", … and
    are not in `names`.

    Args:
        source: what the labels belong to, for messages.
        labels: int64 (n,), positions in `own`.
        own: the classes' present names.
        names: the wanted names, such as those of a network's outputs.

    Raises:
        SaqEvalError: a class with an image that `names` lacks, or that two of the names fit.
    """
    used = sorted(set(labels.tolist()))
    reordered = set(own) <= set(names) and tuple(own) != tuple(names)
    if not reordered and [folded(name) for name in own] == [folded(name) for name in names]:
        return labels
    places = {label: _place(source, own[label], names) for label in used}
    missing = [own[label] for label, place in places.items() if place is None]
    if missing and all(name == str(label) for label, name in enumerate(own)):
        if used[-1] >= len(names):
            raise SaqEvalError(f"{source}: there are labels up to {used[-1]}, but only {len(names)} class names")
        return labels
    if missing:
        raise SaqEvalError(_missing(source, missing, names))
    mapping = torch.full((max(used) + 1,), -1)
    for label, place in places.items():
        assert place is not None  # none is missing
        mapping[label] = place
    return mapping[labels]


def _place(source: str, wanted: str, names: Sequence[str]) -> int | None:
    """Return a class's position in `names`; `None` if it is not there."""
    exact = [place for place, name in enumerate(names) if name == wanted]
    found = exact or [place for place, name in enumerate(names) if folded(name) == folded(wanted)]
    if len(found) > 1:
        raise SaqEvalError(
            f"{source}: the class {wanted!r} fits the outputs {found[0]} ({names[found[0]]!r}) and {found[1]} "
            f"({names[found[1]]!r}): give the classes different names"
        )
    return found[0] if found else None


def _missing(source: str, missing: Sequence[str], names: Sequence[str]) -> str:
    nearest = get_close_matches(folded(missing[0]), [folded(name) for name in names], n=1, cutoff=0.6)
    near = next((name for name in names if nearest and folded(name) == nearest[0]), None)
    hint = f"; did you mean {near!r}?" if near else ""
    others = f" and {len(missing) - 1} others are" if len(missing) > 1 else " is"
    shown = ", ".join(repr(name) for name in names[:5]) + (", …" if len(names) > 5 else "")
    return f"{source}: the class {missing[0]!r}{others} not among the {len(names)} classes given ({shown}){hint}"


def numbered(labels: Tensor) -> tuple[str, ...]:
    """Return names for classes that have none: "0", "1", … up to the highest label."""
    return tuple(str(label) for label in range(int(labels.max()) + 1)) if len(labels) else ()
