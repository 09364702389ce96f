"""Complexity against the papers' definitions."""

import numpy as np

from tests.metrics.quantus.conftest import COUNT, close


def test_complexity_as_published(task, whole):
    for position in range(COUNT):
        relevance = np.sort(np.abs(task.maps[position].astype(np.float64)).reshape(-1))
        pairs = np.abs(relevance[:, None] - relevance[None])
        close(whole("Sparseness")[position], pairs.sum() / (2 * 784 * relevance.sum()))  # Gini, by its definition
        share = relevance[relevance > 0] / relevance.sum()
        close(whole("Complexity")[position], -(share * np.log(share)).sum())
        close(whole("EffectiveComplexity")[position], (relevance > 0.1 * relevance.max()).mean())
