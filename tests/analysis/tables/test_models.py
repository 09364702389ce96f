"""The table of the models themselves."""

import numpy as np
import pytest

from saq_eval.analysis.schema import TABLES, checked
from saq_eval.analysis.tables.models import models


@pytest.fixture
def table(results):
    return checked(TABLES["models"], models(results)).set_index("model")


def test_accuracy_and_what_quantization_costs_of_it(table, digits):
    row, share = table.loc["cnn-w2a2"], 12 / len(digits)
    assert row["accuracy"] == pytest.approx(1 - share, abs=1e-6)
    assert row["accuracy_delta"] == pytest.approx(-share, abs=1e-6) and row["flips"] == pytest.approx(share)
    assert row["kl"] > 0 == table.loc["cnn-fp32", "kl"] == table.loc["cnn-fp32", "flips"]


def test_each_model_names_its_relatives(table):
    row = table.loc["cnn-w2a2"]
    assert (row["baseline"], row["fine_tuned"], row["networks"]) == ("cnn-fp32", "cnn-fp32-ft", "w2a2")
    assert table.loc["cnn-fp32", "networks"] == table.loc["cnn-fp32-s1", "networks"] == "fp32"
    assert "cnn-fp32 (random weights)" not in table.index


def test_sizes_are_in_kib_beside_32_bits_a_number(table):
    row = table.loc["cnn-w2a2"]
    assert (row["parameters"], row["size_kib"], row["file_kib"]) == (1000, 0.5, 1.0)
    assert row["compression_ratio"] == pytest.approx(4000 / 512)
    assert row["bops"] == 50_000 * 64 + 320 * 8 and row["surrogate_gap"] == 0.25


def test_interpretability_is_beside_the_first_baseline(table):
    assert table.loc["cnn-fp32", "interpretability"] == 0
    row = table.loc["cnn-w2a2"]
    assert row["interpretability"] == pytest.approx(-3, abs=0.5)  # 0.3 at a spread of 0.1
    assert row["interpretability_ci_low"] < row["interpretability"] < row["interpretability_ci_high"] < 0


def test_without_a_metric_of_it_interpretability_is_undefined(alone):
    assert np.isnan(models(alone)["interpretability"]).all()
