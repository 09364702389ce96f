"""The table of networks beside their baselines."""

import numpy as np
import pytest

from saq_eval.analysis.schema import TABLES, checked
from saq_eval.analysis.tables.summary import summary


@pytest.fixture
def table(results):
    return checked(TABLES["summary"], summary(results)).set_index(["model", "method", "metric"])


@pytest.mark.parametrize("metric", ["FaithfulnessCorrelation", "PixelFlipping"])
def test_a_network_is_set_beside_its_baseline_image_by_image(table, results, metric):
    row = table.loc["cnn-w2a2", "saliency", metric]
    ours, theirs = (
        results.grid.scores(results.grid.by_name[name], "saliency", metric) for name in ("cnn-w2a2", "cnn-fp32")
    )
    assert row["mean"] == pytest.approx(ours.mean()) and row["delta"] == pytest.approx((ours - theirs).mean())
    assert row["ci_low"] < row["mean"] < row["ci_high"]
    assert (row["verdict"], row["baseline"], row["scope"]) == ("worse", "cnn-fp32", "network")


def test_a_baseline_is_compared_with_nothing(table):
    row = table.loc["cnn-fp32", "saliency", "FaithfulnessCorrelation"]
    assert row["delta"] == row["delta_ci_low"] == row["delta_ci_high"] == 0
    assert np.isnan(row["retraining_low"]) and row["retraining"] == ""


def test_similarities_have_levels_beside_them_and_other_metrics_have_none(table, results):
    row = table.loc["cnn-w2a2", "saliency", "SSIM"]
    (again,) = results.floors("cnn-fp32", "saliency", "SSIM").values()
    assert row["chance"] == 0 and row["corrected"] == pytest.approx(row["mean"])
    assert row["floor"] == pytest.approx(again.mean()) and np.isnan(row["noise"])
    other = table.loc["cnn-w2a2", "saliency", "PixelFlipping"]
    assert np.isnan([other["chance"], other["corrected"], other["floor"], other["noise"]]).all()


def test_maps_that_say_nothing_are_counted(results):
    results.grid.explained[results.grid.by_name["cnn-w2a2"], "lrp"].degenerate[:7] = True
    table = summary(results).set_index(["model", "method", "metric"])["degenerate"]
    assert table["cnn-w2a2", "lrp", "SSIM"] == 7 and table["cnn-w2a2", "saliency", "SSIM"] == 0
