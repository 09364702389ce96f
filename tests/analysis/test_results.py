"""What rows are about, and what scores are compared with."""

import numpy as np
import pytest

from saq_eval.attribution import CONTROLS
from tests.analysis.made import results_of

NAMES = ["cnn-fp32", "cnn-fp32-s1", "cnn-w2a2"]


@pytest.fixture
def results(make_grid):
    return results_of(*make_grid(NAMES, lambda *_: 0.5, metrics=["PixelFlipping", "PointingGame", "SSIM"]))


def test_models_are_those_that_are_compared(results):
    assert list(results.models) == NAMES and results.methods == ["saliency"] and results.dataset == "digits"
    assert [group.name for group in results.groups] == ["fp32", "w2a2"]


def test_a_row_says_which_network_it_is_about(results):
    subject = results.grid.by_name["cnn-w2a2"]
    about = results.about_cell(subject, "saliency", "SSIM")
    assert (about["model"], about["scheme"], about["weight_bits"], about["seed"]) == ("cnn-w2a2", "w2a2", "2", 0)
    assert (about["role"], about["method"], about["category"]) == ("model", "saliency", "similarity")
    assert all(results.about_cell(subject, control, "SSIM")["role"] == "control" for control in CONTROLS)


def test_only_metrics_that_need_masks_name_their_kind(results):
    assert results.mask_of("PixelFlipping") == "" != results.mask_of("PointingGame") == results.mask


def test_a_networks_scores_are_compared_with_its_baselines(results):
    subject = results.grid.by_name["cnn-w2a2"]
    assert results.baseline(subject).name == "cnn-fp32"
    (reference,) = results.references(subject, "saliency", "PixelFlipping")
    np.testing.assert_array_equal(
        reference, results.grid.scores(results.baseline(subject), "saliency", "PixelFlipping")
    )


def test_similarities_are_compared_with_those_of_retrained_networks(results, make_grid):
    subject = results.grid.by_name["cnn-w2a2"]
    (again,) = results.grid.retrained_of("cnn-fp32")
    (reference,) = results.references(subject, "saliency", "SSIM")
    np.testing.assert_array_equal(reference, results.grid.scores(again, "saliency", "SSIM"))
    assert list(results.floors("cnn-fp32", "saliency", "SSIM")) == ["cnn-fp32-s1"]
    alone = results_of(*make_grid(["cnn-fp32", "cnn-w2a2"], lambda *_: 0.5, metrics=["SSIM"]))
    nothing = alone.references(alone.grid.by_name["cnn-w2a2"], "saliency", "SSIM")
    assert nothing.shape == (1, 60) and np.isnan(nothing).all()


def test_a_similarity_is_a_share_of_the_way_from_chance_to_identical_maps(results):
    subject = results.grid.by_name["cnn-w2a2"]
    results.grid.cell(subject, "saliency", "SSIM").chance[:] = 0.5
    found = results.corrected(subject, "saliency", "SSIM", np.array([0.5, 0.75, 1.0, 0.25]))
    np.testing.assert_allclose(found, [0, 0.5, 1, -0.5])
    results.grid.cell(subject, "saliency", "SSIM").chance[:] = np.nan
    assert np.isnan(results.corrected(subject, "saliency", "SSIM", np.ones(2))).all()
