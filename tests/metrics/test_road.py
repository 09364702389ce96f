"""ROAD's imputation against Quantus' solver, and what it removes. That scores are Quantus' own is in `quantus`."""

import dataclasses

import numpy as np
import pytest
import quantus
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from saq_eval import explain, load_model
from saq_eval.metrics.base import find_scorer
from saq_eval.metrics.road import impute


def most(maps, share):
    """Return bool (n, 1, h, w), true on a share of each map's pixels, the highest."""
    flat = maps.reshape(len(maps), -1)
    rank = np.argsort(np.argsort(-flat, axis=1), axis=1)
    return torch.from_numpy(rank < share * flat.shape[1]).reshape(len(maps), 1, *maps.shape[1:])


@pytest.mark.parametrize("sigma", [0, 3])  # scattered pixels, and holes as wide as half the image
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_imputed_pixels_are_those_of_the_exact_solution(share, sigma):
    generator = np.random.default_rng(0)
    images = torch.from_numpy(generator.random((8, 3, 20, 28), dtype=np.float32))
    images[0] = 0
    images[1, :, :, :14] = 0
    removed = most(np.stack([gaussian_filter(m, sigma) for m in generator.standard_normal((8, 20, 28))]), share)
    imputed = impute(images, removed)
    from_elsewhere = impute(images, removed, start=torch.where(removed, torch.rand_like(images), images))
    for ours in (imputed, from_elsewhere):
        for image, hole, filled in zip(images.numpy(), removed.numpy(), ours.numpy(), strict=True):
            exact = quantus.perturb_func.noisy_linear_imputation(image, np.flatnonzero(hole), noise=0)
            np.testing.assert_allclose(filled, exact, rtol=0, atol=1e-4)  # a fortieth of 1/255


def test_nothing_removed_and_images_are_left_as_they_are():
    images = torch.rand(2, 1, 9, 9)
    before = images.clone()
    assert torch.equal(impute(images, torch.zeros(2, 1, 9, 9, dtype=torch.bool)), images)
    impute(images, most(np.random.default_rng(0).random((2, 9, 9)), 0.4))
    assert torch.equal(images, before)


def test_road_removes_the_most_relevant_pixels_first(digits, make_task):
    class Remembers(nn.Module):
        seen = ()

        def forward(self, images):
            self.seen = (*self.seen, images.clone())
            return nn.functional.one_hot(torch.zeros(len(images), dtype=torch.int64), 10).float()

    network, maps = Remembers().eval(), np.random.default_rng(0).random((1, 28, 28), dtype=np.float32)
    images = np.random.default_rng(1).random((1, 1, 28, 28), dtype=np.float32)  # imputed values differ from these
    find_scorer("ROAD").score(make_task(network, maps, images=images))
    ranks = np.argsort(np.argsort(-maps.reshape(-1)))
    assert len(network.seen) == 9
    for share, seen in zip(range(10, 100, 10), network.seen, strict=True):
        changed = (seen.numpy() != images).reshape(-1)
        np.testing.assert_array_equal(changed, ranks < 784 * share // 100)


@pytest.mark.parametrize("model", ["cnn-fp32", "cnn-w2a2"])
def test_road_scores_the_images_past_the_first_batch(model, digits, make_task):
    network = load_model("digits", model).network
    task = make_task(network, explain("input_x_gradient", network, digits.images[:9], digits.labels[:9]).numpy())
    wrong = dataclasses.replace(task, targets=np.where(np.arange(9) < 6, task.targets, (task.targets + 1) % 10))
    for batch_size in (3, 64):
        _, curves = find_scorer("ROAD:noise=0").score(dataclasses.replace(wrong, batch_size=batch_size))
        assert curves.shape == (9, 9) and set(np.unique(curves)) <= {0.0, 1.0}
        _, right = find_scorer("ROAD:noise=0").score(task)
        np.testing.assert_array_equal(curves[:6], right[:6])
        assert (curves[6:] + right[6:] <= 1).all()  # two classes are not predicted at once
