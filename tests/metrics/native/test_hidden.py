import dataclasses

import numpy as np
import torch

from saq_eval.metrics.native.hidden import in_both_orders, outputs, patch_drops, patches, pearson, places
from saq_eval.networks import memory


def test_each_different_picture_is_passed_once(task):
    hidden = torch.zeros(2, 4, 784, dtype=torch.bool)
    hidden[:, 1] = True
    hidden[:, 2] = torch.from_numpy(task.images[:2, 0] > 0).flatten(1)  # all that is not black, behind black
    hidden[:, 3, :392] = True
    passed = []
    handle = task.network.register_forward_hook(lambda module, inputs, output: passed.append(len(output)))
    try:
        found = outputs(task, np.arange(2), hidden, "black", "probabilities")
    finally:
        handle.remove()
    assert passed == [3, 3] and found.dtype == torch.float64
    for position in range(2):
        shown = torch.from_numpy(task.images[position]) * ~hidden[position].reshape(4, 1, 28, 28)
        with torch.no_grad():
            expected = task.network(shown).softmax(dim=1)[:, task.targets[position]]
        torch.testing.assert_close(found[position], expected.double(), rtol=1e-4, atol=1e-5)


def test_places_break_ties_by_position():
    values = torch.tensor([[2.0, 0.0, 2.0, 1.0]])
    assert places(values).tolist() == [[2, 0, 3, 1]]
    assert in_both_orders(values).tolist() == [[[0, 3, 1, 2], [1, 3, 0, 2]]]
    assert in_both_orders(values, rising=True).tolist() == [[[2, 0, 3, 1], [3, 0, 2, 1]]]


def test_correlation():
    draws = np.random.default_rng(0)
    a, b = draws.random((2, 5, 9))
    expected = [np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(pearson(torch.from_numpy(a), torch.from_numpy(b)), expected)
    assert torch.isnan(pearson(torch.ones(3), torch.rand(3)))


def test_patches_at_the_border_may_be_smaller():
    assert patches(3, 5, 2).tolist() == [[0, 0, 1, 1, 2], [0, 0, 1, 1, 2], [3, 3, 4, 4, 5]]


def test_drops_of_patches_are_the_same_in_parts(task, monkeypatch):
    whole = patch_drops(task, 7, "mean")
    assert whole.shape == (7, 16)
    for position in range(2):
        image = task.images[position].copy()
        image[:, 7:14, 14:21] = image.mean()
        with torch.no_grad():
            before, after = task.network(torch.from_numpy(np.stack([task.images[position], image])))
        drop = (before - after)[task.targets[position]].item()
        np.testing.assert_allclose(whole[position, 4 + 2], drop, rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(memory, "BUDGET", 20 * 784 * 5)  # five pictures
    np.testing.assert_allclose(patch_drops(dataclasses.replace(task), 7, "mean"), whole, rtol=1e-4, atol=1e-4)
