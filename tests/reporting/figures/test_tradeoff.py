"""The chart of accuracy against scores, and the table behind it."""

import numpy as np
import pandas as pd
import pytest

from saq_eval.reporting import figures
from saq_eval.reporting.figures.tradeoff import pareto_front
from tests.reporting.figures.views import view


def test_tradeoff_has_a_point_per_network_with_its_interval(result):
    tables = result[0]
    figure = view(figures.tradeoff(tables), "localisation: PointingGame")
    points = {
        (x, y): trace for trace in figure.data if trace.mode == "markers" for x, y in zip(trace.x, trace.y, strict=True)
    }
    assert len(points) == 10
    rows = tables["summary"].query("model == 'cnn-w4a4' and metric == 'PointingGame' and role == 'model'")
    accuracy = 100 * tables["models"].set_index("model").loc["cnn-w4a4", "accuracy"]
    mean, high = rows["mean"].mean(), rows["ci_high"].mean()
    (trace,) = [
        t for (x, y), t in points.items() if x == pytest.approx(accuracy) and y == pytest.approx(mean, rel=1e-4)
    ]
    assert trace.error_y.array[0] == pytest.approx(high - mean, rel=1e-3)
    assert trace.name == "w4a4" and not trace.marker.symbol.endswith("-open")


def test_tradeoff_begins_with_interpretability(result):
    tables = result[0]
    figure = figures.tradeoff(tables)
    first = figure.layout.updatemenus[0].buttons[0]
    assert first.label == "faithfulness and localisation: interpretability, in standard deviations"
    shown = [y for trace in view(figure, first.label).data if trace.mode == "markers" for y in trace.y]
    np.testing.assert_allclose(sorted(shown), sorted(tables["models"]["interpretability"]), rtol=1e-3, atol=1e-6)


def test_better_is_up_and_baselines_are_not_compared_with_themselves(result):
    figure = figures.tradeoff(result[0])
    assert view(figure, "faithfulness: PixelFlipping").layout.yaxis.autorange == "reversed"
    assert view(figure, "faithfulness: FaithfulnessCorrelation").layout.yaxis.autorange is True
    table = figures.tradeoff_table(result[0])
    assert set(table.query("metric == 'SSIM'")["scheme"]) == {"fp32-ft", "w8a8", "w4a4", "w2a2"}


def test_pareto_front():
    x = pd.Series([1, 2, 3, 3, 2], index=list("abcde"))
    y = pd.Series([9, 5, 4, 6, 7], index=list("abcde"))
    assert pareto_front(x, y) == ["d", "e", "a"]
    assert pareto_front(x, -y) == ["c"]


def test_the_front_is_of_the_better_side(result):
    table = figures.tradeoff_table(result[0]).query("metric == 'PixelFlipping'")
    best = table.loc[table["mean"].idxmin()]
    assert best["front"] and table.loc[table["accuracy"].idxmax(), "front"]
