"""Tests of equivalence: whether differences are too small to matter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from saq_eval.analysis.statistics.estimates import Estimates, estimate
from saq_eval.analysis.statistics.means import defined_mean

SAME_MAPS = 0.05  # maps count as the same up to this distance, from 0 (identical) to 1 (unrelated)


@dataclass(frozen=True)
class Equivalence:
    """Equivalence tests, one per row; each attribute is an array (k,).

    Attributes:
        p_value: the p-value of the hypothesis that the difference is beyond the margin.
        margin: in the metric's unit; for rows `by_distance`, the distance from identical (0) to unrelated (1) maps.
        images: the number of images that the test uses.
        by_distance: bool, whether the test uses the distance of maps from identical maps.
    """

    p_value: np.ndarray
    margin: np.ndarray
    images: np.ndarray
    by_distance: np.ndarray


def equivalence(
    found: Estimates, margin: np.ndarray, distance: np.ndarray | None, allowed: np.ndarray | None
) -> Equivalence:
    """Test means against a margin by two one-sided tests; with `distance`, test the maps' distance from identical instead.

    Args:
        found: the estimates of k rows.
        margin: float (k,), at least 0.
        distance, allowed: see `compare_paired`.
    """
    p_value = np.fmax(found.above(-margin), found.below(margin))
    if distance is None:
        return Equivalence(p_value, margin, found.images, np.zeros(len(margin), dtype=bool))
    noise = np.full(distance.shape, np.nan) if allowed is None else allowed
    moved = np.array([defined_mean(row.ravel()) for row in noise])
    far = np.nan_to_num(moved) > SAME_MAPS
    limits = np.where(far.reshape(-1, *[1] * (distance.ndim - 1)), noise, SAME_MAPS)
    judged = estimate(distance - limits, np.ones(len(distance)))
    given = judged.images >= 2
    return Equivalence(
        p_value=np.where(given, judged.below(), p_value),
        margin=np.where(given, np.where(far, moved, SAME_MAPS), margin),
        images=np.where(given, judged.images, found.images),
        by_distance=given,
    )
