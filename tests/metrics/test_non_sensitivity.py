import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from saq_eval import SaqEvalError
from saq_eval.metrics import METRICS, find_scorer


@pytest.fixture
def task(make_task):
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    images, targets = np.random.default_rng(0).random((4, 1, 6, 6), dtype=np.float32), np.array([0, 1, 2, 0])
    images *= images > 0.3  # hiding what is black already moves nothing
    maps = np.random.default_rng(1).normal(size=(4, 6, 6)) * np.random.default_rng(2).integers(0, 2, size=(4, 6, 6))
    maps[3] = 0
    fields = {"images": images, "targets": targets, "labels": targets, "masks": images > 0}
    return make_task(network, maps.astype(np.float32), **fields)


def score(task, spec="NonSensitivity"):
    return find_scorer(spec).score(task)[0]


@pytest.mark.parametrize("eps", [0.01, 0.2])
def test_as_published_with_relative_thresholds(task, eps):
    scores = score(task, f"NonSensitivity:eps={eps}")
    for position in range(3):
        hidden = task.images[position].reshape(36) * (1 - np.eye(36))
        pictures = np.concatenate([task.images[position].reshape(1, 36), hidden]).reshape(-1, 1, 6, 6)
        with torch.no_grad():
            logits = task.network(torch.from_numpy(pictures.astype(np.float32)))[:, task.targets[position]].numpy()
        changes, relevance = np.abs(logits[1:] - logits[0]), np.abs(task.maps[position]).reshape(36)
        moves, relevant = changes > eps * changes.max(), relevance > eps * relevance.max()
        assert scores[position] == pytest.approx((moves != relevant).mean())
    assert np.isnan(scores[3])


def test_it_depends_neither_on_the_batch_nor_on_the_logits_scale(task):
    expected = score(task)
    np.testing.assert_array_equal(score(dataclasses.replace(task, batch_size=5)), expected)
    for factor in (0.1, 10.0):
        last = task.network[3]
        with torch.no_grad():
            last.weight *= factor
            last.bias *= factor
        np.testing.assert_array_equal(score(task), expected)


def test_a_network_that_ignores_the_image_is_moved_by_no_pixel(task):
    torch.nn.init.zeros_(task.network[1].weight)
    relevance = np.abs(task.maps[:3]).reshape(3, -1)
    share = (relevance > 0.01 * relevance.max(axis=1, keepdims=True)).mean(axis=1)
    np.testing.assert_allclose(score(task)[:3], share)


def test_what_it_declares():
    metric = METRICS["NonSensitivity"]
    assert not metric.higher_is_better and metric.category == "axiomatic" and not metric.needs
    assert find_scorer("NonSensitivity").settings((1, 28, 28)) == {"eps": 0.01, "patch_size": 1, "fill": "black"}
    assert find_scorer("NonSensitivity").settings((3, 224, 300))["patch_size"] == 8
    with pytest.raises(SaqEvalError, match="patch_size=9 does not fit into an image of 8x28"):
        find_scorer("NonSensitivity:patch_size=9").settings((1, 8, 28))


def test_patches_are_hidden_together_and_those_at_the_border_may_be_smaller(make_task):
    class OnePatch(torch.nn.Module):  # the logit sees the rows 3 to 5 and the columns 3 and 4
        def forward(self, images):
            return images[:, :, 3:6, 3:5].sum(dim=(1, 2, 3))[:, None]

    passed = []
    network = OnePatch().eval()
    network.register_forward_hook(lambda module, inputs, output: passed.append(len(output)))
    maps = np.zeros((2, 7, 5), dtype=np.float32)
    maps[0, 4, 4] = 1.0  # in the patch that the logit sees, of 3x2 pixels
    maps[1, 6, 0] = -1.0  # in another, of 1x3 pixels
    fields = {
        "images": np.ones((2, 1, 7, 5), dtype=np.float32),
        "labels": np.zeros(2, int),
        "targets": np.zeros(2, int),
    }
    task = make_task(network, maps, batch_size=4, **fields)
    np.testing.assert_allclose(find_scorer("NonSensitivity:patch_size=3").score(task)[0], [0, (6 + 3) / 35])
    assert passed == [4, 4, 4, 2]  # 6 patches and the whole image, for each of two images
