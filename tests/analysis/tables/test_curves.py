"""The table of curves."""

import numpy as np
import pytest

from saq_eval.analysis.schema import TABLES, checked
from saq_eval.analysis.tables.curves import curves
from tests.analysis.made import N


def test_a_row_for_each_step_of_a_curve(results):
    table = checked(TABLES["curves"], curves(results))
    assert set(table["metric"]) == {"PixelFlipping"}
    rows = table.query("model == 'cnn-w2a2' and method == 'lrp'")
    heights = results.grid.cell(results.grid.by_name["cnn-w2a2"], "lrp", "PixelFlipping").curve
    np.testing.assert_allclose(rows["mean"], heights.mean(axis=0), atol=1e-12)
    assert (rows["n"] == N).all() and (rows["ci_low"] <= rows["mean"]).all() and (rows["mean"] <= rows["ci_high"]).all()
    assert rows["step"].is_monotonic_increasing and rows["step"].between(0, 1).all() and rows["step"].is_unique


def test_images_without_a_curve_do_not_count(results):
    results.grid.cell(results.grid.by_name["cnn-w2a2"], "lrp", "PixelFlipping").curve[:5, 1] = np.nan
    rows = curves(results).query("model == 'cnn-w2a2' and method == 'lrp'")
    assert rows["n"].tolist() == [N, N - 5, N]


def test_metrics_without_curves_give_an_empty_table(alone):
    assert checked(TABLES["curves"], curves(alone)).empty


@pytest.mark.parametrize("name", ["cnn-fp32", "cnn-fp32 (random weights)"])
def test_models_and_random_weights_have_curves(results, name):
    assert name in set(curves(results)["model"])
