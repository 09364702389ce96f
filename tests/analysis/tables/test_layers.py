"""The table of layers."""

import numpy as np

from saq_eval.analysis.schema import TABLES, checked
from saq_eval.analysis.tables.layers import layers


def test_a_row_for_each_layer_of_each_model(results):
    table = checked(TABLES["layers"], layers(results))
    assert list(zip(table["model"], table["layer"], strict=True))[:2] == [("cnn-fp32", "conv"), ("cnn-fp32", "head")]
    assert len(table) == 2 * 4  # none of random weights


def test_sizes_and_operations_have_the_units_of_their_names(results):
    conv, head = layers(results).iloc[0], layers(results).iloc[1]
    assert (conv["shape"], conv["kib"], conv["mmacs"]) == ("8x1x3x3", 72 / 1024, 0.05)
    assert conv["mbops"] == 0.05 * 64 and np.isnan(conv["alpha"])
    assert (head["weight_bits"], head["activation_bits"], head["alpha"]) == (2, 4, 1.5)
