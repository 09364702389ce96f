"""What a job computes."""

import numpy as np

from saq_eval import explain
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


def test_gradients_account_for_a_smooth_network_but_not_for_a_quantizer(done):
    assert all(0 <= gap < 0.5 for gap in done.surrogate_gaps.values())
