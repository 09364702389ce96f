import numpy as np
import pytest

from saq_eval import SaqEvalError
from saq_eval.metrics import METRICS, Scorer, find_scorer, register_metric
from saq_eval.metrics.base import area


@pytest.fixture
def brightness():
    @register_metric("Brightness", category="complexity", range=(0.0, 1.0), reference="a test", higher_is_better=False)
    def brightness(task, *, power: float = 1.0):
        """The mean magnitude."""
        return (np.abs(task.maps) ** power).mean(axis=(1, 2))

    yield METRICS["Brightness"]
    METRICS._entries.pop("Brightness")


def test_a_metric_of_ones_own(brightness, make_task):
    maps = np.random.default_rng(0).standard_normal((4, 28, 28)).astype(np.float32)
    maps[2] = 1.0
    scores, curve = find_scorer("Brightness:power=2").score(make_task(None, maps))
    assert curve is None and np.isnan(scores).tolist() == [False, False, True, False]
    assert scores[0] == pytest.approx((maps[0] ** 2).mean())
    assert find_scorer("Brightness:power=2").label == "Brightness:power=2.0"
    assert brightness.description == "The mean magnitude." and brightness.best == 0
    with pytest.raises(SaqEvalError, match="registered already"):
        register_metric("Brightness", category="complexity", range=(0, 1), reference="")(lambda task: task.maps)


def test_a_metric_without_a_docstring_has_no_description(monkeypatch):
    monkeypatch.setattr(METRICS, "_entries", dict(METRICS._entries))
    register_metric("Silent", category="complexity", range=(0, 1), reference="")(lambda task: task.maps)
    assert METRICS["Silent"].description == ""


def test_the_area_under_a_curve_is_its_mean_height():
    assert area(np.array([[1.0, 1.0, 1.0], [1.0, 0.5, 0.0], [0.0, 1.0, 0.0]])).tolist() == [1.0, 0.5, 0.5]


@pytest.mark.parametrize("name", list(METRICS))
def test_every_metric_says_what_it_is(name):
    metric = METRICS[name]
    assert metric.description.endswith(".") and metric.reference and metric.range[0] < metric.range[1]
    assert Scorer(metric, find_scorer(name).parameters).settings((1, 28, 28)) is not None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"category": "border"}, "unknown category 'border'"),
        ({"category": "complexity", "needs": ("mask",)}, "unknown need 'mask'; did you mean 'masks'"),
    ],
)
def test_a_metric_of_an_unknown_kind_is_refused(given, message):
    with pytest.raises(SaqEvalError, match=message):
        register_metric("Mine", range=(0, 1), reference="mine", **given)
