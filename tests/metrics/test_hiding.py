"""What all metrics that hide pixels must hold: exact maps are best, in grey and colour, whatever the logits' scale."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from saq_eval import explain, load_model
from saq_eval.metrics import METRICS, find_scorer
from saq_eval.metrics.hiding import MaskedNetwork, changeable, mean_of_both_orders, order_matters

COUNT = 4
# An exact map's score, where one is known beforehand.
AT_BEST = {
    "FaithfulnessCorrelation": 1,
    "FaithfulnessEstimate": 1,
    "Infidelity": 0,
    "Completeness": 1,
    "NonSensitivity": 0,
}
# Where every pixel speaks for the class, the probability follows the sum of what is shown.
AT_BEST_OF_POSITIVE = {"Monotonicity": 1, "MonotonicityCorrelation": 1}
# What is best depends on the network: an exact map beats all others.
BEST_OF_MANY = ("PixelFlipping", "RegionPerturbation", "Selectivity", "SymmetricRelevanceGain", "IROF")


class Linear(nn.Module):
    """Logits without bias; class 0 is explained, the others have logit 0."""

    def __init__(self, weights):
        super().__init__()
        self.register_buffer("weights", weights)

    def forward(self, images):
        logit = (images * self.weights).flatten(1).sum(dim=1, keepdim=True)
        return torch.cat([logit, torch.zeros(len(images), 2)], dim=1)


@pytest.fixture(params=[1, 3], ids=["grey", "colour"])
def exact(request, make_task):
    """Build a task whose maps are the pixels' effects."""

    def build(positive=False, size=12):
        torch.manual_seed(0)
        images, weights = torch.rand(COUNT, request.param, size, size), torch.randn(request.param, size, size)
        weights = (weights.abs() if positive else weights) / 4
        maps = (images * weights).sum(dim=1)
        nothing = np.zeros(COUNT, dtype=np.int64)
        fields = {"images": images.numpy(), "targets": nothing, "labels": nothing, "masks": maps[:, None].numpy() > 0}
        return make_task(Linear(weights).eval(), maps.numpy(), **fields)

    return build


def score(spec, task):
    return find_scorer(spec).score(task)[0]


def test_every_metric_that_hides_has_a_test():
    hiding = {name for name in METRICS if "fill" in find_scorer(name).parameters} | {"ROAD"}
    assert {*AT_BEST, *AT_BEST_OF_POSITIVE, *BEST_OF_MANY, "ROAD"} == hiding
    assert {name for name, metric in METRICS.items() if metric.category == "faithfulness"} <= hiding


@pytest.mark.parametrize("name", AT_BEST)
def test_an_exact_map_scores_best(name, exact):
    task = exact()
    np.testing.assert_allclose(score(name, task), AT_BEST[name], atol=1e-4)
    assert METRICS[name].best == AT_BEST[name]


@pytest.mark.parametrize("name", AT_BEST_OF_POSITIVE)
def test_an_exact_map_of_positive_effects_scores_best(name, exact):
    task = exact(positive=True)
    task.network.weights /= 10  # so that the probability is not 1 in single precision
    task = dataclasses.replace(task, maps=task.maps / 10)
    np.testing.assert_allclose(score(name, task), AT_BEST_OF_POSITIVE[name], atol=1e-4)


@pytest.mark.parametrize("name", BEST_OF_MANY)
def test_an_exact_map_beats_all_others(name, exact):
    task = exact()
    sign = 1 if METRICS[name].higher_is_better else -1
    best = score(name, task)
    for seed in range(5):
        noise = np.random.default_rng(seed).standard_normal(task.maps.shape).astype(np.float32)
        for maps in (noise, task.maps + 0.2 * noise, -task.maps):
            assert (sign * (best - score(name, dataclasses.replace(task, maps=maps))) > -0.02).all()
    assert (sign * (best - score(name, dataclasses.replace(task, maps=-task.maps))) > 0.05).all()


def test_road_on_average_prefers_an_exact_map(exact):
    # Removed pixels become what their neighbours are, so that even an exact map need not be best for each image.
    task = exact()
    images, weights = torch.from_numpy(task.images), task.network.weights
    # The class is predicted, and would not be without its best pixels.
    weights += (1 - (images * weights).flatten(1).sum(dim=1).mean()) / images.flatten(1).sum(dim=1).mean()
    task = dataclasses.replace(task, maps=(images * weights).sum(dim=1).numpy())
    best = score("ROAD", task).mean()
    noise = np.random.default_rng(0).standard_normal(task.maps.shape).astype(np.float32)
    assert best < score("ROAD", dataclasses.replace(task, maps=noise)).mean()
    assert best < score("ROAD", dataclasses.replace(task, maps=-task.maps)).mean()


@pytest.mark.parametrize("name", [name for name in AT_BEST if name != "Completeness"])  # which is about the scale
@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_the_scale_of_logits_does_not_count(name, factor, exact):
    task = exact()
    wrong = dataclasses.replace(task, maps=np.roll(task.maps, 1, axis=2))
    before = score(name, wrong)
    task.network.weights *= factor
    np.testing.assert_allclose(score(name, wrong), before, atol=1e-3)
    np.testing.assert_allclose(score(name, task), AT_BEST[name], atol=1e-3)


@pytest.mark.parametrize("name", [*AT_BEST, *AT_BEST_OF_POSITIVE, *BEST_OF_MANY, "ROAD"])
def test_turning_all_changes_no_score_though_pixels_are_tied(name, exact):
    if name == "FaithfulnessCorrelation":
        pytest.skip("draws other pixels of a turned image, and does not rank any")
    task = exact()
    maps = np.round(task.maps * 3) * (np.random.default_rng(0).random(task.maps.shape) < 0.3)
    task = dataclasses.replace(task, maps=maps.astype(np.float32))
    network = Linear(task.network.weights.flip(1, 2)).eval()
    turned = dataclasses.replace(
        task,
        network=network,
        maps=task.maps[:, ::-1, ::-1].copy(),
        images=task.images[..., ::-1, ::-1].copy(),
        masks=task.masks[..., ::-1, ::-1].copy(),
    )
    np.testing.assert_allclose(score(name, turned), score(name, task), atol=1e-5)


class Turned(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network(images.flip(2, 3))


@pytest.mark.parametrize("spec", ["ROAD", "PixelFlipping:fill=blur", "SymmetricRelevanceGain:fill=blur"])
def test_turning_all_changes_no_score_of_a_trained_network(spec, digits, make_task):
    network = load_model("digits", "cnn-fp32").network
    # Zero on the black ground.
    maps = explain("input_x_gradient", network, digits.images[:6], digits.labels[:6]).numpy()
    task = make_task(network, maps)
    flipped = {name: getattr(task, name)[..., ::-1, ::-1].copy() for name in ("images", "masks", "maps")}
    turned = dataclasses.replace(task, network=Turned(network).eval(), **flipped)
    np.testing.assert_allclose(score(spec, turned), score(spec, task), atol=1e-4)


def test_a_masked_network_shows_what_it_is_told():
    images = torch.rand(3, 2, 4, 4)
    network = MaskedNetwork(nn.Identity(), images.numpy(), "mean", "cpu")
    shown = (torch.rand(3, 1, 4, 4) > 0.5).float()
    expected = shown * images + (1 - shown) * images.mean(dim=(2, 3), keepdim=True)
    torch.testing.assert_close(network(shown), expected)
    torch.testing.assert_close(network(torch.ones(3, 1, 4, 4)), images, rtol=0, atol=0)


def test_the_mean_of_both_orders_is_of_those_with_ties(make_task):
    maps = np.arange(2 * 28 * 28, dtype=np.float32).reshape(2, 28, 28)
    maps[1, 0, :2] = 784
    assert order_matters(maps).tolist() == [False, True]
    task = make_task(nn.Identity(), maps)
    found = mean_of_both_orders(lambda task: task.maps[:, 0, 0].astype(float), task, order_matters(maps))
    np.testing.assert_allclose(found, [maps[0, 0, 0], (maps[1, 0, 0] + maps[1, -1, -1]) / 2])


def test_the_order_of_pixels_that_hiding_does_not_change_does_not_matter():
    maps, images = np.arange(16.0).reshape(1, 4, 4), np.ones((1, 3, 4, 4), dtype=np.float32)
    maps[0, 0, :3] = 7
    images[0, :, 0, :3] = 0
    images[0, :, 1, 3] = 0  # the fourth that has the value 7
    assert order_matters(maps).all() and not order_matters(maps, changeable(images, "black")).any()
    assert order_matters(maps, changeable(images, "mean")).all()
    images[0, 2, 0, 1] = 0.5
    assert order_matters(maps, changeable(images, "black")).all()


def test_turned_images_share_nothing_with_upright_ones(digits, make_task):
    def wrong(key, compute):
        raise AssertionError("a turned image was given what upright ones share")

    def score(given):
        if given is not task:
            return given.shared("what depends on the images", lambda: np.full(2, 4.0))
        return np.zeros(2)

    task = make_task(nn.Identity(), np.random.default_rng(0).random((2, 28, 28), dtype=np.float32), shared=wrong)
    np.testing.assert_array_equal(mean_of_both_orders(score, task, np.array([True, True])), [2, 2])
