"""Complexity: the same scores as by Quantus."""

import numpy as np
import pytest

from saq_eval.metrics import METRICS, find_scorer
from saq_eval.metrics.native import complexity

SPECS = ["Sparseness", "Complexity", "EffectiveComplexity", "EffectiveComplexity:eps=0.5"]


@pytest.fixture(params=[(28, 28), (5, 7), (64, 64)], ids=str)
def maps(request):
    """Maps of both signs, with zeros and ties, scaled up and down, sparse, and three that are degenerate."""
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((9, *request.param)).astype(np.float32)
    maps[1] = np.round(maps[1])
    maps[2] *= 1e-6
    maps[3] *= 1e6
    maps[4] *= rng.random(request.param) < 0.2
    maps[5] = 0
    maps[5, 2, 3] = -1
    maps[6], maps[7], maps[8, 0, 0] = 0, 3, np.inf
    return maps


def task_of(maps, make_task):
    return make_task(None, maps, images=np.zeros((len(maps), 1, *maps.shape[1:]), dtype=np.float32))


@pytest.mark.parametrize("spec", SPECS)
def test_scores_are_those_of_quantus(spec, maps, make_task):
    task = task_of(maps, make_task)
    found, expected = (find_scorer(spec, engine).score(task)[0] for engine in ("native", "quantus"))
    assert np.isnan(found).tolist() == 6 * [False] + 3 * [True]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_the_metrics_call_these_functions(maps, make_task):
    task = task_of(maps, make_task)
    for name, native in (("Sparseness", complexity.sparseness), ("Complexity", complexity.complexity)):
        np.testing.assert_array_equal(METRICS[name].score(task), native(task))
    np.testing.assert_array_equal(
        METRICS["EffectiveComplexity"].score(task, eps=0.1), complexity.effective_complexity(task, eps=0.1)
    )


def test_one_pixel_is_simplest(make_task):
    one, all_equal_but_one = np.zeros((2, 1, 10, 10))
    one[0, 3, 3], all_equal_but_one[:] = 2.0, 1.0
    all_equal_but_one[0, 0, 0] = 0
    task, other = make_task(None, one), make_task(None, all_equal_but_one)
    assert complexity.sparseness(task) == pytest.approx(0.99, abs=1e-4)
    assert complexity.complexity(task) == 0 and complexity.complexity(other) == pytest.approx(np.log(99))
    assert complexity.effective_complexity(task, eps=0.5) == 0.01
