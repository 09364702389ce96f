import numpy as np
import torch
from scipy.ndimage import convolve
from scipy.stats import kstest

from saq_eval import explain, load_model


def test_noise_is_uniform_and_another_for_each_image_and_network(digits):
    images, targets = digits.images[:3], digits.labels[:3]
    one, other = (load_model("digits", name).network for name in ("cnn-fp32", "cnn-w2a2"))
    noise = explain("random", one, images, targets)
    assert kstest(noise.flatten().numpy(), "uniform").pvalue > 0.01
    for unrelated in (explain("random", other, images, targets), explain("random", one, images, targets, seed=1), noise.flip(0)):  # fmt: skip  # noqa: E501
        correlations = [np.corrcoef(a.flatten(), b.flatten())[0, 1] for a, b in zip(noise, unrelated, strict=True)]
        assert abs(correlations[0]) < 0.15 and abs(correlations[2]) < 0.15
    assert torch.equal(noise, explain("random", one, images, (targets + 1) % 10))


def test_edges_are_sobels_gradient_of_the_image(digits):
    images, targets = digits.images[:3], digits.labels[:3]
    maps = [explain("edges", load_model("digits", name).network, images, targets) for name in ("cnn-fp32", "cnn-w2a2")]
    assert torch.equal(*maps)
    kernel = np.outer([1, 2, 1], [1, 0, -1]) / 4
    for image, ours in zip(images[:, 0].numpy(), maps[0].numpy(), strict=True):
        across, down = (convolve(image, k, mode="reflect") for k in (kernel, kernel.T))
        np.testing.assert_allclose(ours, np.sqrt((across**2 + down**2) / 2), atol=1e-6)
