import json

import numpy as np
import pandas as pd
import pytest

from saq_eval.reporting import figures
from saq_eval.reporting.figures.looks import escaped, most_bits_first
from saq_eval.reporting.figures.tradeoff import pareto_front
from saq_eval.reporting.verdicts import VERDICTS
from tests.reporting.fake_run import fake_run

DRAWN = (figures.tradeoff, figures.effects, figures.verdict_matrix, figures.curves)


def view(figure, label):
    """Return a figure after the menu's choice."""
    button = next(b for b in figure.layout.updatemenus[0].buttons if b.label == label)
    data, layout, traces = button.args
    for key, values in data.items():
        for trace, value in zip(traces, values, strict=True):
            if value is not None:
                figure.data[trace][key] = value
    figure.update_layout(layout)
    return figure


@pytest.mark.parametrize("draw", DRAWN)
def test_every_view_is_valid(result, draw):
    figure = draw(result[0])
    for button in figure.layout.updatemenus[0].buttons:
        view(figure, button.label)
    assert json.loads(figure.to_json())


def test_tradeoff_has_a_point_per_network_with_its_interval(result):
    tables = result[0]
    figure = view(figures.tradeoff(tables), "localisation: PointingGame")
    points = {
        (x, y): trace for trace in figure.data if trace.mode == "markers" for x, y in zip(trace.x, trace.y, strict=True)
    }
    assert len(points) == 8
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
    assert set(table.query("metric == 'SSIM'")["scheme"]) == {"w8a8", "w4a4", "w2a2"}


def test_pareto_front():
    x = pd.Series([1, 2, 3, 3, 2], index=list("abcde"))
    y = pd.Series([9, 5, 4, 6, 7], index=list("abcde"))
    assert pareto_front(x, y) == ["d", "e", "a"]
    assert pareto_front(x, -y) == ["c"]


def test_the_front_is_of_the_better_side(result):
    table = figures.tradeoff_table(result[0]).query("metric == 'PixelFlipping'")
    best = table.loc[table["mean"].idxmin()]
    assert best["front"] and table.loc[table["accuracy"].idxmax(), "front"]


def test_effects_show_difference_interval_margin_and_verdict(result):
    table = result[0]["effects"]
    figure = view(figures.effects(result[0]), "similarity: SSIM")
    rows = table.query("metric == 'SSIM' and scheme == 'w2a2' and training == 'standard'")
    trace = [t for t in figure.data if t.type == "scatter" and t.name == "standard" and t.x != (None,)][-1]
    np.testing.assert_allclose(trace.x, rows["delta"], rtol=1e-3)
    np.testing.assert_allclose(np.add(trace.x, trace.error_x.array), rows["delta_ci_high"], rtol=1e-3, atol=1e-4)
    assert list(trace.marker.color) == [VERDICTS[verdict].colour for verdict in rows["verdict"]]
    floor = next(t for t in figure.data if t.type == "bar")
    np.testing.assert_allclose(floor.base, -0.03)
    np.testing.assert_allclose(floor.x, 0.06)
    assert "retraining" in figure.layout.title.text


def test_matrix_is_coloured_by_verdict_not_by_value(result):
    table = figures.verdict_table(result[0])
    figure = view(figures.verdict_matrix(result[0]), "lrp")
    heat = figure.data[0]
    place = list(heat.y).index("cnn-w2a2"), list(heat.x).index("PointingGame")
    cell = table.query("method == 'lrp' and model == 'cnn-w2a2' and metric == 'PointingGame'").iloc[0]
    assert heat.z[place[0]][place[1]] == list(VERDICTS).index(cell["verdict"])
    assert f"{cell['delta']:+.3f}" in heat.text[place[0]][place[1]]
    assert "cnn-fp32" not in heat.y
    overall = table[table["method"] == ""]
    assert len(overall) == 6 * 5 and (overall["methods"] == 4).all()


def test_curves_have_bands(result):
    table = result[0]["curves"].query("model == 'cnn-w8a8' and metric == 'ROAD' and method == 'lrp'")
    figure = view(figures.curves(result[0]), "ROAD: lrp")
    band, line = [trace for trace in figure.data if trace.name == "cnn-w8a8"]
    np.testing.assert_allclose(line.y, table["mean"], rtol=1e-4)
    np.testing.assert_allclose(band.y[: len(table)], table["ci_high"], rtol=1e-4)
    np.testing.assert_allclose(band.y[len(table) :], table["ci_low"][::-1], rtol=1e-4)


def test_schemes_go_from_many_bits_to_few():
    models = fake_run(samples=2, gallery=1)[0]["models"]
    assert most_bits_first(models["scheme"].iloc[::-1], models, "scheme") == [
        "fp32",
        "w8a8",
        "w4a4",
        "w4a2",
        "mixed",
        "w2a2",
    ]


@pytest.mark.parametrize("draw", DRAWN)
def test_hostile_names_bring_no_markup(hostile, draw):
    text = draw(hostile[0]).to_json()
    assert not any(sign in text for sign in ("<script", "<a ", "<img", "<!", "\u202e", "\\u202e", "\\n", "$\\"))


def test_escaped_texts_hold_no_formula_and_no_template():
    assert escaped("$x$ <b> &lt;") == "&#36;x&#36; &lt;b&gt; &amp;lt;"


@pytest.mark.parametrize("draw", [figures.effects, figures.verdict_matrix, figures.curves])
def test_what_is_not_there_is_said(result, draw):
    tables = result[0] | {"effects": result[0]["effects"].iloc[:0], "curves": result[0]["curves"].iloc[:0]}
    tables["summary"] = tables["summary"][tables["summary"]["scheme"] == "fp32"]
    figure = draw(tables)
    assert not figure.data and figure.layout.annotations[0].text.startswith("No ")
