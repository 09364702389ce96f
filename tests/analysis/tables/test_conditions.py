"""The table over images that both networks see alike."""

import pytest

from saq_eval.analysis.schema import TABLES, checked
from saq_eval.analysis.tables.conditions import conditions


def test_images_that_the_networks_see_differently_are_left_out(results):
    table = checked(TABLES["conditions"], conditions(results))
    row = table.query("model == 'cnn-w2a2' and method == 'lrp' and metric == 'PixelFlipping'").set_index("condition")
    ours, theirs = (
        results.grid.scores(results.grid.by_name[name], "lrp", "PixelFlipping") for name in ("cnn-w2a2", "cnn-fp32")
    )
    # The first 12 images are those that the network gets wrong.
    for condition in ("both right", "agree"):
        assert row.loc[condition, "n"] == len(ours) - 12
        assert row.loc[condition, "mean"] == pytest.approx(ours[12:].mean())
        assert row.loc[condition, "delta"] == pytest.approx((ours - theirs)[12:].mean())


def test_networks_that_are_wrong_alike_agree(results):
    for name in ("cnn-w2a2", "cnn-fp32"):
        results.grid.predictions[name][:] = 0
    labels = results.grid.settings.sample.labels.numpy()
    n = conditions(results).query("model == 'cnn-w2a2'").groupby("condition")["n"].first()
    assert n["agree"] == len(labels) and n["both right"] == (labels == 0).sum()


def test_baselines_and_controls_have_no_rows(results, alone):
    table = conditions(results)
    assert set(table["model"]) == {"cnn-fp32-ft", "cnn-w2a2"} and set(table["method"]) == {"saliency", "lrp"}
    assert checked(TABLES["conditions"], conditions(alone)).empty
