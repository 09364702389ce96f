import functools

import cloudpickle
import numpy as np
import pytest

from saq_eval import SaqEvalError
from saq_eval.metrics import METRICS, find_scorer, find_scorers, metric_sets


def test_sets():
    sets = metric_sets()
    assert set(sets["quick"]) < set(sets["standard"]) < set(sets["full"])
    assert {spec.partition(":")[0] for spec in sets["full"]} == set(METRICS)
    hiding = [name for name in METRICS if "fill" in find_scorer(name).parameters]
    assert {f"{name}:fill=blur" for name in hiding} < set(sets["full"]) and len(hiding) >= 9
    assert find_scorer("PixelFlipping:baseline=blur") == find_scorer("PixelFlipping:fill=blur")  # as it was once called
    labels = [scorer.label for scorer in find_scorers(["quick", "SSIM", "TopKIoU:k=0.1", "TopKIoU"])]
    assert labels == [*sets["quick"], "TopKIoU"]
    with pytest.raises(SaqEvalError, match="at least one metric is needed"):
        find_scorers([])


def test_what_hides_has_two_fills():
    sets = metric_sets()
    assert [*sets] == ["quick", "standard", "full"]
    hiding = {spec.partition(":")[0] for spec in sets["standard"]}
    hiding &= {name for name in METRICS if "fill" in find_scorer(name).parameters}
    assert hiding and all({name, f"{name}:fill=blur"} <= {*sets["standard"]} for name in hiding)
    for spec in (*sets["quick"], *sets["standard"]):
        if spec.partition(":")[0] in METRICS:
            assert find_scorer(spec).label == spec


def _spread(task, *, power: float = 2.0):
    """How unequal the pixels are."""
    return (task.maps**power).mean(axis=(1, 2))


def shapeless(task):
    return task.maps


def test_functions_are_metrics_without_registration(make_task):
    _spread.higher_is_better = False
    scorers = find_scorers([_spread, "SSIM", functools.partial(_spread, power=1)])
    assert [scorer.label for scorer in scorers] == ["spread", "SSIM", "spread:power=1.0"] and "spread" not in METRICS
    metric = scorers[0].metric
    assert (metric.category, metric.higher_is_better, metric.description) == (
        "axiomatic",
        False,
        "How unequal the pixels are.",
    )
    maps = np.random.default_rng(0).random((3, 28, 28)).astype(np.float32)
    scores, curve = cloudpickle.loads(cloudpickle.dumps(scorers))[0].score(make_task(None, maps))
    assert curve is None
    np.testing.assert_allclose(scores, (maps**2).mean(axis=(1, 2)))
    with pytest.raises(SaqEvalError, match=r"shapeless returned scores \(3, 28, 28\) for 3 maps, not \(n,\)"):
        find_scorers([shapeless])[0].score(make_task(None, maps))
    with pytest.raises(SaqEvalError, match="a metric given as a function goes by its name, and <lambda> is none"):
        find_scorers([lambda task: task.maps])
