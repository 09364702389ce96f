"""Cells: the scores of one network × method × metric on the images of a comparison.

The key and the value of a cell are plain data. They can be stored, sent to another machine, and compared.
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
    """The value of a cell: arrays float64 (n,), one value per image, NaN where it is undefined.

    A hole is a cell that cannot be computed, because the network lacks what the method or the metric needs. All of its
    scores are NaN.

    Attributes:
        scores: the scores. Maps of a network with random weights are scored as explanations of its baseline.
        curve: (n, steps), for a metric that gives curves.
        chance: the scores of unrelated maps, for a metric for which they are known.
        to_fine_tuned: for a similarity, the similarity to the maps of the fine-tuned control, the network that was
            trained further in full precision.
        noise: for a similarity, the similarity of the network's maps with and without tiny input noise.
        controls: for a baseline and a similarity, the similarity of each control's maps to the method's, by control.
        hole: why the cell is a hole; "" if it is none.
    """

    scores: np.ndarray
    curve: np.ndarray | None = None
    chance: np.ndarray | None = None
    to_fine_tuned: np.ndarray | None = None
    noise: np.ndarray | None = None
    controls: dict[str, np.ndarray] = field(default_factory=dict)
    hole: str = ""

    @classmethod
    def nothing(cls, images: int, reason: str) -> Scored:
        """Return a hole, with its reason, in a comparison of so many images."""
        return cls(np.full(images, np.nan), hole=reason)


@dataclass(frozen=True, eq=False)
class Explained:
    """Facts about a network's maps by a method.

    Attributes:
        degenerate: bool (n,), which maps are degenerate; see `saq_eval.metrics.is_degenerate`.
        computed: whether the maps were computed in this run, not read from disk.
    """

    degenerate: np.ndarray
    computed: bool
