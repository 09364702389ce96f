"""The table of the scores themselves."""

import numpy as np

from saq_eval.analysis.schema import TABLES, checked
from saq_eval.analysis.tables.scores import scores
from tests.analysis.made import N


def test_a_row_for_each_network_method_metric_and_image(results):
    table = checked(TABLES["scores"], scores(results))
    explained = 4 * 2 * 3 + 2 * 2 * 3  # models, and random weights of the two baselines
    controls = 4 * 2 * 2  # a control's map is not compared with the baseline's of its own kind
    assert len(table) == N * (explained + controls)
    assert set(table.loc[table["method"].isin(["random", "edges"]), "role"]) == {"control"}
    assert "retrained" not in set(table["role"])


def test_scores_stand_beside_what_was_predicted(results):
    table = scores(results).query("model == 'cnn-w2a2' and method == 'lrp' and metric == 'SSIM'")
    subject = results.grid.by_name["cnn-w2a2"]
    np.testing.assert_array_equal(table["score"], results.grid.scores(subject, "lrp", "SSIM"))
    np.testing.assert_array_equal(table["prediction"] != table["label"], np.arange(N) < 12)
    assert table["sample"].tolist() == list(range(N))
