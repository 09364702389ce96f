"""Symmetric relevance gain against its definition, and its bond with pixel flipping."""

import dataclasses

import numpy as np
import pytest
import torch

from saq_eval import SaqEvalError, explain, load_model
from saq_eval.metrics import METRICS
from saq_eval.metrics.base import find_scorer

COUNT = 9


@pytest.fixture(scope="module", params=["cnn-fp32", "cnn-w2a2"])
def network(request):
    return load_model("digits", request.param).network


@pytest.fixture
def task(network, digits, make_task):
    maps = explain("integrated_gradients", network, digits.images[:COUNT], digits.labels[:COUNT]).numpy()
    # No two values alike, so that the order of pixels and its reverse are one another's opposite.
    return make_task(network, maps + 1e-6 * np.random.default_rng(0).random(maps.shape, dtype=np.float32))


def score(task, spec="SymmetricRelevanceGain"):
    return find_scorer(spec).score(task)


def close(ours, expected):
    np.testing.assert_allclose(ours, expected, atol=1e-4)


@pytest.mark.parametrize("step", [56, 112])
def test_as_published(task, step):
    area, curves = score(task, f"SymmetricRelevanceGain:features_in_step={step}")
    assert curves.shape == (COUNT, 784 // step) and curves.dtype == np.float64
    for position in range(COUNT):
        relevance = task.maps[position].reshape(-1)
        heights = []
        for order in (np.argsort(relevance), np.argsort(-relevance)):
            image, curve = torch.from_numpy(task.images[position].copy()), []
            for start in range(0, 784, step):
                image.view(-1)[order[start : start + step]] = 0
                with torch.no_grad():
                    curve.append(task.network(image[None]).softmax(dim=1)[0, task.targets[position]].item())
            heights.append(np.array(curve))
        difference = heights[0] - heights[1]
        close(curves[position], difference)
        close(area[position], (difference[1:] + difference[:-1]).sum() / 2 / (len(difference) - 1))


@pytest.mark.parametrize("fill", ["black", "mean", "blur"])
def test_it_is_two_pixel_flippings(task, fill):
    _, most_first = score(task, f"PixelFlipping:fill={fill}")
    _, least_first = score(dataclasses.replace(task, maps=-task.maps), f"PixelFlipping:fill={fill}")
    area, gains = score(task, f"SymmetricRelevanceGain:fill={fill}")
    close(gains, least_first - most_first)
    close(gains[:, -1], 0)  # all is hidden
    close(score(dataclasses.replace(task, maps=-task.maps), f"SymmetricRelevanceGain:fill={fill}")[0], -area)


def test_the_steps_are_pixel_flippings():
    for shape in ((1, 28, 28), (3, 32, 32), (1, 7, 5)):
        sizes = {
            find_scorer(name).settings(shape)["features_in_step"]
            for name in ("SymmetricRelevanceGain", "PixelFlipping")
        }
        assert len(sizes) == 1
    with pytest.raises(SaqEvalError, match="features_in_step=50 does not divide the 784 pixels"):
        find_scorer("SymmetricRelevanceGain:features_in_step=50").settings((1, 28, 28))


def test_scores_depend_neither_on_the_batch_nor_on_the_order(task):
    area, _ = score(task)
    for batch_size in (1, 7):
        close(score(dataclasses.replace(task, batch_size=batch_size))[0], area)
    order = np.arange(COUNT)[::-1]
    turned = {field: getattr(task, field)[order].copy() for field in ("images", "targets", "maps", "indices")}
    close(score(dataclasses.replace(task, **turned))[0], area[order])
    assert (score(dataclasses.replace(task, seed=1))[0] == area).all()


def test_degenerate_maps_are_not_scored_and_do_not_disturb_the_others(task):
    maps = task.maps.copy()
    maps[2], maps[5], maps[7] = 0.0, 3.0, np.nan
    area, curves = score(dataclasses.replace(task, maps=maps))
    assert np.isnan(area[[2, 5, 7]]).all() and np.isnan(curves[[2, 5, 7]]).all()
    close(area[[0, 1, 3, 4, 6, 8]], score(task)[0][[0, 1, 3, 4, 6, 8]])
    area, curves = score(dataclasses.replace(task, maps=np.zeros_like(maps)))
    assert np.isnan(area).all() and curves.shape == (COUNT, 14)


def test_a_method_gains_and_noise_does_not(network, digits, make_task):
    sample = digits.subset(np.arange(60))
    gains = {}
    for method in ("integrated_gradients", "random"):
        task = make_task(network, explain(method, network, sample.images, sample.labels).numpy())
        gains[method] = score(task)[0]
    error = gains["random"].std() / np.sqrt(60)
    chance = METRICS["SymmetricRelevanceGain"].chance(task)
    assert (chance == 0).all() and abs(gains["random"].mean()) < 4 * error
    assert gains["integrated_gradients"].mean() > 10 * error


def test_colour_images_are_scored(make_task):
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64, 4)).eval()
    images, maps = torch.rand(2, 3, 8, 8).numpy(), np.random.default_rng(0).random((2, 8, 8), dtype=np.float32)
    task = make_task(network, maps, images=images, targets=np.array([1, 3]))
    _, gains = score(task)
    _, flipped = score(task, "PixelFlipping")
    assert np.isfinite(gains).all() and gains.shape == flipped.shape


def test_what_it_declares():
    metric = METRICS["SymmetricRelevanceGain"]
    assert metric.curve and metric.higher_is_better and metric.category == "faithfulness" and not metric.random
    assert find_scorer("SymmetricRelevanceGain").settings((1, 28, 28)) == {
        "features_in_step": 56,
        "fill": "black",
        "reads": "signed maps and probabilities",
    }
