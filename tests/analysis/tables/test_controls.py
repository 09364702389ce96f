"""The table that tells whether a metric tells real maps from those of controls."""

import pytest

from saq_eval.analysis.schema import TABLES, checked
from saq_eval.analysis.tables.controls import controls
from saq_eval.zoo.networks import RANDOM_WEIGHTS


@pytest.fixture
def table(results):
    return checked(TABLES["controls"], controls(results)).set_index(["model", "method", "metric", "control"])


@pytest.mark.parametrize("metric", ["FaithfulnessCorrelation", "PixelFlipping"])
@pytest.mark.parametrize("control", ["random", "edges", RANDOM_WEIGHTS])
def test_a_metric_that_scores_real_maps_better_tells_them_apart(table, metric, control):
    row = table.loc["cnn-fp32", "saliency", metric, control]
    assert row["verdict"] == "better" and row["p_adjusted"] >= row["p_value"]
    assert row["difference"] == pytest.approx(row["mean"] - row["control_mean"])


def test_random_weights_are_set_beside_their_own_baseline(table):
    of = {model: set(rows.index.get_level_values("control")) for model, rows in table.groupby("model")}
    scored = table.query("metric == 'PixelFlipping'")
    other = set(scored.loc["cnn-w2a2"].index.get_level_values("control"))
    assert RANDOM_WEIGHTS in of["cnn-fp32"] and other == {"random", "edges"}


def test_similarity_is_set_beside_how_alike_the_controls_maps_are_to_the_baselines(table):
    row = table.loc["cnn-w2a2", "saliency", "SSIM", "random"]
    assert row["control_mean"] == pytest.approx(0.1) and row["verdict"] == "better"
    assert row["mean"] == pytest.approx(0.3, abs=0.05)
    assert "SSIM" not in table.loc["cnn-fp32"].index.get_level_values("metric")  # a baseline is like itself


def test_maps_no_better_than_noise_are_unclear_or_worse(results):
    for control in ("random", "edges"):
        subject = results.grid.by_name["cnn-fp32"]
        same = results.grid.scores(subject, "saliency", "PixelFlipping")
        results.grid.scores(subject, control, "PixelFlipping")[:] = same if control == "edges" else same - 1
    found = controls(results).set_index(["model", "method", "metric", "control"])["verdict"]
    assert found["cnn-fp32", "saliency", "PixelFlipping", "edges"] == "unclear"
    assert found["cnn-fp32", "saliency", "PixelFlipping", "random"] == "worse"
