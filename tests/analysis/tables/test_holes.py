"""The scores that cannot be computed, and why."""

from dataclasses import replace

import numpy as np

from saq_eval.analysis.tables import TABLES, checked
from saq_eval.analysis.tables.holes import holes
from saq_eval.evaluation.cells import Cell, Scored
from tests.analysis.made import results_of


def test_each_hole_is_a_row_with_its_reason_and_the_other_tables_stand(make_grid):
    grid, cards = make_grid(["cnn-fp32", "cnn-w2a2"], lambda *_: 0.0, metrics=["PointingGame", "SSIM"])
    assert checked(TABLES["holes"], holes(results_of(grid, cards))).empty
    missing = [Cell(grid.by_name["cnn-w2a2"], "saliency", metric) for metric in ("PointingGame", "SSIM")]
    nothing = Scored.nothing(len(grid.settings.sample), "no gradient reaches the image")
    explained = {key: value for key, value in grid.explained.items() if key != (missing[0].subject, "saliency")}
    grid = replace(grid, cells=grid.cells | dict.fromkeys(missing, nothing), explained=explained)
    results = results_of(grid, cards)
    table = checked(TABLES["holes"], holes(results))
    assert table[["model", "method", "metric"]].to_numpy().tolist() == [
        ["cnn-w2a2", "saliency", metric] for metric in ("PointingGame", "SSIM")
    ]
    assert set(table["reason"]) == {"no gradient reaches the image"}
    for name in TABLES:
        checked(TABLES[name], TABLES[name].make(results))
    row = (
        TABLES["summary"]
        .make(results)
        .query("model == 'cnn-w2a2' and method == 'saliency' and metric == 'SSIM'")
        .iloc[0]
    )
    assert row["n"] == 0 and np.isnan(row["mean"]) and np.isnan(row["degenerate"])
    assert row["verdict"] == "too few images"
