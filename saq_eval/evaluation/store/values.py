"""Cells and facts about maps as the arrays and texts of the store's entries, and back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from saq_eval.attribution import CONTROLS
from saq_eval.evaluation.cells import Explained, Scored
from saq_eval.evaluation.store.entries import Entry

_CONTROL = "control "
_PARTS = ("scores", "curve", "chance", "to_fine_tuned", "noise")
Written = tuple[Mapping[str, np.ndarray], Mapping[str, str]]


def written(scored: Scored) -> Written:
    """Return a cell's value as arrays and texts."""
    parts = {name: getattr(scored, name) for name in _PARTS}
    arrays = {name: part for name, part in parts.items() if part is not None}
    controls = {_CONTROL + name: values for name, values in scored.controls.items()}
    return arrays | controls, {"hole": scored.hole}


def scored_of(entry: Entry) -> Scored:
    """Return the value of a cell that `written` has written."""
    arrays = {name: np.array(array) for name, array in entry.arrays.items()}
    controls = {name: arrays[_CONTROL + name] for name in CONTROLS if _CONTROL + name in arrays}
    parts = {name: arrays.get(name) for name in _PARTS[1:]}
    return Scored(arrays["scores"], **parts, controls=controls, hole=entry.facts.get("hole", ""))


def explained_written(explained: Explained | None) -> Written:
    """Return facts about maps as arrays and texts; `None` if the network cannot be explained."""
    degenerate = np.zeros(0, dtype=bool) if explained is None else explained.degenerate
    return {"degenerate": degenerate}, {"maps": "none" if explained is None else "computed"}


def explained_of(entry: Entry) -> Explained | None:
    """Return the facts that `explained_written` has written, about maps that an earlier run has computed."""
    if entry.facts.get("maps") == "none":
        return None
    return Explained(np.array(entry.arrays["degenerate"]), computed=False)
