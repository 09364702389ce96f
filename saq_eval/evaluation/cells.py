"""What is measured: a cell is one network × method × metric on the images of a comparison.

Its key and its value are plain data: they can be stored, sent to another machine, and told from one another.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from saq_eval.evaluation.settings import Subject


@dataclass(frozen=True)
class Cell:
    """The key of a cell: a network, a method's label and a metric's label."""

    subject: Subject
    method: str
    metric: str


@dataclass(frozen=True, eq=False)
class Scored:
    """The value of a cell: arrays float64 (n,), one value for each image, NaN where it is undefined.

    Attributes:
        scores: the scores. Maps of a network with random weights are scored as explanations of its baseline.
        curve: of a metric that follows one, (n, steps).
        chance: what unrelated maps score, of a metric for which that is known.
        to_fine_tuned: of a similarity, to the maps of the network that was trained on in full precision.
        noise: of a similarity, the network's own maps under tiny input noise against its maps without.
        controls: of a baseline's similarity, by control, how alike the control's maps are to the method's.
    """

    scores: np.ndarray
    curve: np.ndarray | None = None
    chance: np.ndarray | None = None
    to_fine_tuned: np.ndarray | None = None
    noise: np.ndarray | None = None
    controls: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Explained:
    """What is known of a network's maps by a method.

    Attributes:
        degenerate: bool (n,), which maps say nothing.
        computed: whether the maps were computed in this run, not read from disk.
    """

    degenerate: np.ndarray
    computed: bool
