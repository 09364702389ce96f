"""The chart of curves."""

import numpy as np

from saq_eval.reporting import figures
from tests.reporting.figures.views import view


def test_curves_have_bands(result):
    table = result[0]["curves"].query("model == 'cnn-w8a8' and metric == 'ROAD' and method == 'lrp'")
    figure = view(figures.curves(result[0]), "ROAD: lrp")
    band, line = [trace for trace in figure.data if trace.name == "cnn-w8a8"]
    np.testing.assert_allclose(line.y, table["mean"], rtol=1e-4)
    np.testing.assert_allclose(band.y[: len(table)], table["ci_high"], rtol=1e-4)
    np.testing.assert_allclose(band.y[len(table) :], table["ci_low"][::-1], rtol=1e-4)
