"""Complexity: on how few pixels the relevance lies. Only the maps are read, so this is in NumPy, on the processor."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import entr

from saq_eval.metrics.base import Task
from saq_eval.metrics.maps import is_degenerate, read

_ADDED = 1e-7  # Quantus adds this to the relevance of each pixel; of 224x224 pixels the sum counts


def sparseness(task: Task) -> np.ndarray:
    """Score as `Sparseness`: float64 (n,)."""

    def gini(relevance: np.ndarray) -> np.ndarray:
        pixels = relevance.shape[1]
        weights = 2 * np.arange(1, pixels + 1) - pixels - 1
        return (np.sort(relevance, axis=1) * weights).sum(axis=1) / (pixels * (relevance + _ADDED).sum(axis=1))

    return _of_magnitudes(task, gini)


def complexity(task: Task) -> np.ndarray:
    """Score as `Complexity`: float64 (n,)."""
    return _of_magnitudes(task, lambda relevance: entr(relevance / relevance.sum(axis=1, keepdims=True)).sum(axis=1))


def effective_complexity(task: Task, *, eps: float) -> np.ndarray:
    """Score as `EffectiveComplexity`: float64 (n,)."""
    return _of_magnitudes(task, lambda relevance: (relevance > eps).mean(axis=1))


def _of_magnitudes(task: Task, measure: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return a measure of the maps' magnitudes, (k, pixels) -> (k,): float64 (n,); NaN for degenerate maps."""
    relevance = read("magnitudes", task.maps).reshape(len(task.maps), -1)
    usable = ~is_degenerate(task.maps) & ~is_degenerate(relevance)
    scores = np.full(len(relevance), np.nan)
    scores[usable] = measure(relevance[usable])
    return scores
