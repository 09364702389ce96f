"""Every native metric gives the scores that Quantus gives, from the same random draws."""

import dataclasses

import numpy as np
import pytest

from saq_eval.metrics import METRICS, find_scorer, is_degenerate
from tests.metrics.native.conftest import DEGENERATE, NAMES, WITH_FILL, both, turned

# Continuity explains the image itself again in Quantus, instead of reading the map.
EXPLAINED_AGAIN = ("Continuity",)
# Quantus slides images to the right more often than to the left; noise does not turn with the image.
TURNING = [name for name in NAMES if not METRICS[name].random and "explanations" not in METRICS[name].needs]


def check(name, task, **parameters):
    if name in EXPLAINED_AGAIN:
        maps = task.explain(task.network, task.images, task.targets, task.indices)
        task = dataclasses.replace(task, maps=np.where(is_degenerate(task.maps)[:, None, None], task.maps, maps))
    (scores, curves), (reference, reference_curves) = both(name, task, **parameters)
    np.testing.assert_allclose(scores, reference, rtol=1e-5, atol=1e-5)
    assert np.isnan(scores[DEGENERATE]).all()
    if "mosaics" not in METRICS[name].needs:  # the images are too few; see tests/metrics/test_mosaics.py
        assert np.isfinite(np.delete(scores, DEGENERATE)).any()
    assert (curves is None) == (reference_curves is None)
    if curves is not None:
        np.testing.assert_allclose(curves, reference_curves, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_digits_by_trained_networks(name, task):
    check(name, task)


@pytest.mark.parametrize("fill", ["mean", "blur"])
@pytest.mark.parametrize("name", WITH_FILL)
def test_fills(name, fill, task):
    check(name, task, fill=fill)


@pytest.mark.parametrize("name", NAMES)
def test_colour_images_and_images_that_are_not_square(name, other_images):
    check(name, other_images)


@pytest.mark.parametrize("name", NAMES)
def test_degenerate_maps_alone(name, task):
    (scores, _), (reference, _) = both(name, dataclasses.replace(task, maps=np.zeros_like(task.maps)))
    assert np.isnan(scores).all() and np.isnan(reference).all()


@pytest.mark.parametrize("name", TURNING)
def test_scores_stay_when_everything_is_turned(name, task):
    (scores, _), _ = both(name, task)
    (after, _), _ = both(name, turned(task))
    np.testing.assert_allclose(after, scores, rtol=1e-5, atol=1e-5)


def test_the_engine_of_a_comparison_is_the_one_that_is_asked_for(task):
    calls = []
    for engine in ("native", "quantus"):
        scorer = find_scorer("PixelFlipping", engine)
        metric = dataclasses.replace(
            scorer.metric,
            score=lambda task, **_: calls.append("native") or np.zeros((7, 2)),
            by_quantus=lambda task, **_: calls.append("quantus") or np.zeros((7, 2)),
        )
        dataclasses.replace(scorer, metric=metric).score(task)
    assert calls == ["native", "quantus"]
