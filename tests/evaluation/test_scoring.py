"""What a job computes."""

import numpy as np

from saq_eval import explain
from saq_eval.evaluation.scoring import INPUT_NOISE, _with_noise
from saq_eval.evaluation.store import read_maps
from saq_eval.metrics import find_scorer
from tests.evaluation.made import FP32, RETRAINED, W2A2


def test_similarities_have_what_they_are_set_beside(done, networks, make_task):
    ssim = find_scorer("SSIM")
    sample = done.settings.sample

    def maps(identity, method="saliency"):
        return explain(
            method, networks[identity], sample.images, sample.labels, indices=sample.indices.tolist()
        ).numpy()

    def alike(a, b):
        return ssim.score(make_task(None, a, baseline_maps=b))[0]

    w2a2, baseline = done.cell(W2A2, "saliency", "SSIM"), done.cell(FP32, "saliency", "SSIM")
    np.testing.assert_allclose(w2a2.scores, alike(maps("c"), maps("a")), atol=1e-5)
    np.testing.assert_allclose(w2a2.to_fine_tuned, alike(maps("c"), maps("b")), atol=1e-5)
    np.testing.assert_allclose(baseline.scores, 1.0)
    np.testing.assert_allclose(baseline.controls["edges"], alike(maps("a", "edges"), maps("a")), atol=1e-5)
    assert baseline.to_fine_tuned is None and w2a2.controls == {} and set(baseline.controls) == {"random", "edges"}
    assert (w2a2.noise > w2a2.scores).all()  # invisible noise changes maps less than other weights do
    retrained = done.cell(RETRAINED, "saliency", "SSIM")
    assert retrained.noise is None and retrained.chance is None and w2a2.chance is not None
    np.testing.assert_allclose(retrained.scores, alike(maps("g"), maps("a")), atol=1e-5)


def test_maps_are_on_disk_under_the_networks_name(done, networks):
    sample = done.settings.sample
    expected = explain("saliency", networks["c"], sample.images, sample.labels)
    np.testing.assert_allclose(done.maps("w2a2", "saliency"), expected, atol=1e-6)
    assert read_maps(done.settings.maps / "fp32-s2" / "saliency.safetensors").shape == (6, 28, 28)


def test_noise_is_invisible_and_belongs_to_the_image(digits):
    images, indices = digits.images[:4].numpy(), digits.indices[:4].numpy()
    noisy = _with_noise(images, indices, 0)
    assert noisy.dtype == np.float32 and noisy.min() >= 0 and noisy.max() <= 1
    assert 0.2 * INPUT_NOISE < (noisy - images).std() < INPUT_NOISE
    np.testing.assert_array_equal(_with_noise(images[::-1], indices[::-1], 0), noisy[::-1])
    assert (_with_noise(images, indices, 1) != noisy).any()


def test_gradients_account_for_a_smooth_network_but_not_for_a_quantizer(done):
    assert all(0 <= gap < 0.5 for gap in done.surrogate_gaps.values())
