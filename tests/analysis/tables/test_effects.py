"""The table of groups of networks, step by step."""

import numpy as np
import pytest

from saq_eval.analysis.schema import TABLES, checked
from saq_eval.analysis.tables.effects import effects


@pytest.fixture
def table(results):
    return checked(TABLES["effects"], effects(results)).set_index(["networks", "step", "method", "metric"])


def test_each_group_has_the_steps_that_it_takes(table):
    steps = table.reset_index().groupby("networks")["step"].agg(set).to_dict()
    assert steps == {"fp32-ft": {"further training"}, "w2a2": {"bits", "whole"}}
    assert set(table["seeds"]) == {1} and set(table["scope"]) == {"network"}


@pytest.mark.parametrize(("step", "other"), [("bits", "cnn-fp32-ft"), ("whole", "cnn-fp32")])
def test_a_step_compares_with_its_own_network(table, results, step, other):
    row = table.loc["w2a2", step, "lrp", "FaithfulnessCorrelation"]
    ours, theirs = (
        results.grid.scores(results.grid.by_name[name], "lrp", "FaithfulnessCorrelation")
        for name in ("cnn-w2a2", other)
    )
    assert row["delta"] == pytest.approx((ours - theirs).mean()) and row["verdict"] == "worse"
    assert row["mean"] == pytest.approx(ours.mean()) and row["n"] == len(ours)


def test_similarity_in_the_step_of_bits_is_to_the_network_trained_on(table):
    bits, whole = (table.loc["w2a2", step, "saliency", "SSIM"] for step in ("bits", "whole"))
    assert bits["mean"] == pytest.approx(whole["mean"] + 0.2)
    assert whole["floor"] == bits["floor"] == pytest.approx(0.6, abs=0.05)


def test_only_similarities_have_a_floor(table):
    assert np.isnan(table.loc["w2a2", "bits", "lrp", "PixelFlipping"]["floor"])


def test_a_baseline_alone_has_no_effects(alone):
    assert checked(TABLES["effects"], effects(alone)).empty
