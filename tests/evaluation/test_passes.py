import pytest
from torch import nn

from saq_eval.attribution import METHODS, find_explainer
from saq_eval.evaluation.passes import Passes, layers_drawn_anew, passes_of_map, passes_of_metrics, passes_of_scores
from saq_eval.metrics import find_scorers

SHAPE = (1, 28, 28)


def test_passes_add_up():
    assert Passes(1, 2) + Passes(3, 4) * 2 == Passes(7, 10)
    assert Passes(5, 2).cost == 5 + 3 * 2


@pytest.mark.parametrize(
    ("method", "passes"),
    [
        ("saliency", Passes(backward=1)),
        ("integrated_gradients:n_steps=8", Passes(backward=8)),
        ("gradcam", Passes(backward=1)),
        ("occlusion", Passes(forward=65)),
        ("edges", Passes()),
    ],
)
def test_which_passes_a_map_takes(method, passes):
    assert passes_of_map(find_explainer(method), SHAPE) == passes


def test_methods_that_need_gradients_pass_backward():
    for method in METHODS.values():
        assert method.with_gradients or "gradients" not in method.needs


def test_further_maps_of_a_metric_are_passes_of_the_method():
    metrics = passes_of_metrics(
        find_scorers(["PixelFlipping", "MaxSensitivity", "FaithfulnessCorrelation", "MPRT"]), SHAPE
    )
    saliency, occlusion = (find_explainer(name) for name in ("saliency", "occlusion"))
    assert passes_of_scores(saliency, metrics, SHAPE, layers=3) == Passes(14, 10 + 1 + 3)
    assert passes_of_scores(occlusion, metrics, SHAPE, layers=3) == Passes(14 + 65 * (10 + 1 + 3))
    assert passes_of_scores(find_explainer("random"), metrics, SHAPE, layers=3) == Passes(14)


def test_a_metric_that_states_no_passes_counts_as_none():
    def mine(task):
        return task.maps[:, 0, 0]

    assert passes_of_metrics(find_scorers([mine, "SSIM"]), SHAPE) == passes_of_metrics(find_scorers(["SSIM"]), SHAPE)


def test_layers_whose_weights_can_be_drawn_anew():
    assert layers_drawn_anew(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2, 2))) == 2
