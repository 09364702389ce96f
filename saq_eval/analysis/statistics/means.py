"""Means and spreads of scores; undefined scores (NaN) are left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def defined_mean(values: np.ndarray) -> float:
    """Return the mean of the values that are not NaN; NaN if there is none."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else np.nan


def mean_of(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return the element-wise mean of arrays of one shape over the values that are not NaN; NaN where all are."""
    return mean_along(np.stack(arrays), 0)


def spread(values: np.ndarray) -> float:
    """Return the standard deviation of the values that are not NaN; 0 for fewer than two."""
    defined = values[~np.isnan(values)]
    return float(defined.std(ddof=1)) if len(defined) >= 2 else 0.0


def spread_of_scores(values: np.ndarray) -> float:
    """Return the standard deviation of scores between images, with a lower bound for scores of 0 and 1.

    The bound is the standard deviation for a share of 3/n. By the rule of three, if all n scores are equal, up to this
    share of all images may have the other score.
    """
    defined = values[~np.isnan(values)]
    least = 0.0
    if len(defined) > 3 and np.isin(defined, (0.0, 1.0)).all():
        share = 3 / len(defined)
        least = float(np.sqrt(share * (1 - share)))
    return max(spread(values), least)


def reach(values: np.ndarray) -> float:
    """Return the range (largest minus smallest) of the values that are not NaN; 0 if there is none."""
    defined = values[~np.isnan(values)]
    return float(np.ptp(defined)) if len(defined) else 0.0


def mean_along(values: np.ndarray, axis: int) -> np.ndarray:
    """Return the mean along an axis of the values that are not NaN; NaN where there is none."""
    defined = ~np.isnan(values)
    total, count = np.where(defined, values, 0.0).sum(axis=axis), defined.sum(axis=axis)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def variance_of_rows(values: np.ndarray) -> np.ndarray:
    """Return the variance of each row's values; 0 for fewer than two."""
    enough = (~np.isnan(values)).sum(axis=1) >= 2
    variance = np.zeros(len(values))
    if enough.any():
        variance[enough] = np.nanvar(values[enough], axis=1, ddof=1)
    return variance


def padded(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Stack arrays (a, …) of different lengths, and fill up shorter ones with NaN: float64 (k, longest, …)."""
    stacked = np.full((len(arrays), max(map(len, arrays)), *arrays[0].shape[1:]), np.nan)
    for place, array in enumerate(arrays):
        stacked[place, : len(array)] = array
    return stacked
