"""The table of methods by how well their maps survive."""

import numpy as np
import pytest

from saq_eval.analysis.schema import TABLES, checked
from saq_eval.analysis.tables.robustness import robustness


def test_the_method_whose_maps_stay_more_alike_comes_first(results):
    kept = results.grid.scores(results.grid.by_name["cnn-w2a2"], "lrp", "SSIM")
    kept += 0.4
    table = checked(TABLES["robustness"], robustness(results)).set_index("rank")
    assert table["method"].tolist() == ["lrp", "saliency"] and table.index.tolist() == [1, 2]
    # Unrelated maps score 0 and identical ones 1, so nothing is left to correct.
    assert table.loc[1, "corrected"] == pytest.approx(kept.mean())
    (again,) = results.floors("cnn-fp32", "lrp", "SSIM").values()
    assert table.loc[1, "floor"] == pytest.approx(again.mean())


def test_maps_that_say_nothing_are_a_share(results):
    results.grid.explained[results.grid.by_name["cnn-w2a2"], "lrp"].degenerate[:6] = True
    table = robustness(results).set_index("method")["degenerate"]
    assert table["lrp"] == pytest.approx(0.1) and table["saliency"] == 0


def test_networks_that_were_only_trained_on_do_not_count(results):
    results.grid.scores(results.grid.by_name["cnn-fp32-ft"], "lrp", "SSIM")[:] = np.nan
    assert (robustness(results)["n"] == 60).all()


def test_without_quantized_networks_there_is_no_table(alone):
    assert checked(TABLES["robustness"], robustness(alone)).empty
