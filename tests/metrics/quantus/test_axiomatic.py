"""Completeness against the paper's definition."""

import numpy as np

from tests.metrics.quantus.conftest import COUNT, outputs, score


def test_completeness_as_published(task, make_task, maps):
    drops = outputs(task, task.images, False) - outputs(task, np.zeros_like(task.images), False)
    drops = drops[np.arange(COUNT), task.targets]
    for error, expected in ((0.0, 1), (0.04, 1), (-0.04, 1), (0.06, 0), (-0.06, 0)):
        sums = drops * (1 + error)
        scaled = maps - maps.mean(axis=(1, 2), keepdims=True) + (sums / 784)[:, None, None]
        assert (score("Completeness", make_task(task.network, scaled.astype(np.float32))) == expected).all()
        assert (score("Completeness", make_task(task.network, scaled), tolerance=0.1) == 1).all()
