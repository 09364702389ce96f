"""The maps of a job, and the tasks by which they are scored."""

import numpy as np

from saq_eval import explain
from saq_eval.evaluation.maps import _with_noise
from saq_eval.evaluation.settings import INPUT_NOISE


def test_maps_are_found_by_the_networks_name(done, networks):
    sample = done.settings.sample
    expected = explain("saliency", networks["c"], sample.images, sample.labels)
    np.testing.assert_allclose(done.maps("w2a2", "saliency"), expected, atol=1e-6)


def test_noise_is_invisible_and_belongs_to_the_image(digits):
    images, indices = digits.images[:4].numpy(), digits.indices[:4].numpy()
    noisy = _with_noise(images, indices, 0)
    assert noisy.dtype == np.float32 and noisy.min() >= 0 and noisy.max() <= 1
    assert 0.2 * INPUT_NOISE < (noisy - images).std() < INPUT_NOISE
    np.testing.assert_array_equal(_with_noise(images[::-1], indices[::-1], 0), noisy[::-1])
    assert (_with_noise(images, indices, 1) != noisy).any()
