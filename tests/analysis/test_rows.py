"""What rows are tested by, and how they are tested together."""

import numpy as np
import pytest

from saq_eval.analysis import rows
from saq_eval.analysis.groups import Step
from saq_eval.analysis.rows import Compared, Row, compared_in
from tests.analysis.made import noise, results_of

NAMES = ["cnn-fp32", "cnn-fp32-s1", "cnn-fp32-s2", "cnn-w2a2"]


@pytest.fixture
def results(make_grid):
    def level(role, method, metric, name):
        return {"cnn-w2a2": 0.2, "cnn-fp32-s1": 0.6}.get(name, 0.5)

    return results_of(*make_grid(NAMES, level, metrics=["PixelFlipping", "SSIM"]))


def step_of(results):
    by_name = results.grid.by_name
    return Step("whole", {0: (by_name["cnn-w2a2"], by_name["cnn-fp32"])})


def test_scores_are_compared_image_by_image_beside_what_retraining_does(results):
    found = compared_in(results, step_of(results), "saliency", "PixelFlipping")
    ours, theirs, *others = (
        results.grid.scores(results.grid.by_name[name], "saliency", "PixelFlipping")
        for name in ("cnn-w2a2", "cnn-fp32", "cnn-fp32-s1", "cnn-fp32-s2")
    )
    np.testing.assert_array_equal(found.differences, [ours - theirs])
    np.testing.assert_allclose(found.retrained, [other.mean() - theirs.mean() for other in others])
    assert found.spread == pytest.approx(theirs.std(ddof=1)) and not found.similar
    assert found.reach == np.ptp([ours, theirs]) and np.isnan(found.distance).all()


def test_similarities_are_compared_with_the_mean_of_retrained_networks(results):
    found = compared_in(results, step_of(results), "saliency", "SSIM")
    ours = results.grid.scores(results.grid.by_name["cnn-w2a2"], "saliency", "SSIM")
    floors = np.stack(list(results.floors("cnn-fp32", "saliency", "SSIM").values()))
    np.testing.assert_allclose(found.differences, [ours - floors.mean(axis=0)])
    np.testing.assert_allclose(found.distance, [1 - ours])
    np.testing.assert_allclose(found.retrained, floors.mean(axis=1) - floors.mean())
    assert found.similar and np.isnan(found.allowed).all()


def test_images_that_do_not_count_are_left_out_of_all_that_is_compared(results):
    def keep(scores):
        return np.where(np.arange(len(scores)) < 40, scores, np.nan)

    for metric in ("PixelFlipping", "SSIM"):
        found = compared_in(results, step_of(results), "saliency", metric, keep)
        every = compared_in(results, step_of(results), "saliency", metric)
        np.testing.assert_array_equal(found.differences[0, :40], every.differences[0, :40])
        assert np.isnan(found.differences[0, 40:]).all() and (found.retrained != every.retrained).all()


def row(change, category="faithfulness", family="whole", higher=True):
    nothing = np.full((1, 60), np.nan)
    differences = change + noise(change, category, family)[None]
    compared = Compared(differences, nothing, nothing, 0.1, 1.0, np.full(1, np.nan), similar=False)
    return Row({"category": category, "higher_is_better": higher}, differences, compared, family)


def test_rows_of_one_family_and_category_are_corrected_together():
    together = rows.tested([row(0.03), row(0.02), row(0.0)], margin=0.2)
    apart = rows.tested([row(0.03), row(0.02, "localisation"), row(0.0, family=None)], margin=0.2)
    assert (together["p_adjusted"] >= together["p_value"]).all() and (
        together["p_adjusted"] > together["p_value"]
    ).any()
    assert apart["p_adjusted"][2] == apart["p_value"][2]  # of no family
    assert apart["p_value"][0] == together["p_value"][0] and apart["p_adjusted"][0] != together["p_adjusted"][0]


def test_a_verdict_follows_from_what_is_better():
    assert rows.tested([row(0.3), row(0.3, higher=False)], margin=0.2)["verdict"].tolist() == ["better", "worse"]


def test_images_are_counted_that_any_network_has_a_score_for():
    scores = np.array([[1.0, np.nan, np.nan], [np.nan, 2.0, np.nan]])
    assert Row({}, scores, row(0.0).compared, None).images == 2
