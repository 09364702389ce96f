import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from saq_eval import SaqEvalError
from saq_eval.metrics import METRICS, Scorer, find_scorer, refusal, register_metric
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


def _refused(network):
    return {name: reason for name in METRICS if (reason := refusal(find_scorer(name), network))}


def test_what_metrics_need_of_a_network(cnn):
    before = {name: tensor.clone() for name, tensor in cnn.state_dict().items()}
    assert _refused(cnn) == {}
    assert all(torch.equal(tensor, before[name]) for name, tensor in cnn.state_dict().items())
    weights = {name: "no weights to randomise" for name in ("MPRT", "SmoothMPRT", "EfficientMPRT")}
    layers = {"RelativeRepresentationStability": "no layers inside the network whose outputs can be compared"}
    assert _refused(lambda images: images.flatten(1)) == weights | layers
    assert _refused(nn.Sequential(nn.ReLU(), nn.Flatten())) == weights
    attention = nn.Sequential(nn.MultiheadAttention(8, 2), nn.Linear(8, 3))
    reasons = set(_refused(attention).values())
    assert reasons == {"the weights of MultiheadAttention (0) cannot be randomised"}


def test_weights_that_are_computed_can_be_randomised():
    assert _refused(nn.Sequential(nn.Flatten(), parametrizations.weight_norm(nn.Linear(4, 3)))) == {}
