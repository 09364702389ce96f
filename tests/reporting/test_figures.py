import json

import numpy as np
import pandas as pd
import pytest

from saq_eval.analysis.steps import STEPS
from saq_eval.reporting import figures
from saq_eval.reporting.figures.looks import escaped, most_bits_first
from saq_eval.reporting.figures.tradeoff import pareto_front
from saq_eval.reporting.verdicts import VERDICTS, majority
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


def column(figure, place):
    """Return the traces of an effects chart's column: the margin, the retraining band, and one for each training."""
    axes = list(dict.fromkeys(trace.xaxis for trace in figure.data if trace.type == "bar"))
    traces = [trace for trace in figure.data if trace.xaxis == axes[place] and tuple(trace.x or ()) != (None,)]
    assert [trace.type for trace in traces] == ["bar", "bar", "scatter", "scatter"]
    return traces


def test_effects_show_difference_interval_and_verdict(result):
    table = result[0]["effects"]
    figure = view(figures.effects(result[0]), "whole: similarity: SSIM")
    rows = table.query("metric == 'SSIM' and scheme == 'w2a2' and training == 'standard' and step == 'whole'")
    _, _, trace, _ = column(figure, -1)
    assert trace.name == "standard"
    np.testing.assert_allclose(trace.x, rows["delta"], rtol=1e-3)
    np.testing.assert_allclose(np.add(trace.x, trace.error_x.array), rows["delta_ci_high"], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(
        np.subtract(trace.x, trace.error_x.arrayminus), rows["delta_ci_low"], rtol=1e-3, atol=1e-4
    )
    assert list(trace.marker.color) == [VERDICTS[verdict].colour for verdict in rows["verdict"]]
    assert "retraining" in figure.layout.title.text


def test_the_margin_and_the_retraining_band_are_two_traces(result):
    rows = result[0]["effects"].query("metric == 'PixelFlipping' and scheme == 'w4a4' and step == 'bits'")
    figure = view(figures.effects(result[0]), "bits: faithfulness: PixelFlipping")
    margin, band, *_ = column(figure, -2)
    assert (margin.name, band.name) == ("margin", "retraining band")
    by_method = rows.groupby("method", sort=False)
    np.testing.assert_allclose(margin.base, -by_method["margin"].max(), rtol=1e-4)
    np.testing.assert_allclose(margin.x, 2 * by_method["margin"].max(), rtol=1e-4)
    # Of two trainings, one band holds both.
    np.testing.assert_allclose(band.base, by_method["retraining_low"].min(), rtol=1e-3)
    np.testing.assert_allclose(np.add(band.base, band.x), by_method["retraining_high"].max(), rtol=1e-3, atol=1e-4)
    assert list(margin.y) == list(band.y) == [0, 1, 2, 3]
    assert margin.width != band.width and margin.marker.line.width == 0 < band.marker.line.width
    assert margin.marker.color != band.marker.color == "rgba(0,0,0,0)"  # an outline, through which the margin is seen
    low, high = figure.layout.xaxis.range
    assert low < min(band.base) and max(np.add(band.base, band.x)) < high


@pytest.mark.parametrize("step", STEPS)
def test_the_legend_names_margin_and_band_whichever_networks_take_a_step(result, step):
    figure = view(figures.effects(result[0]), f"{step}: localisation: PointingGame")
    # Of a trace without values, Plotly leaves the entry out.
    named = [trace.name for trace in figure.data if trace.showlegend is not False and len(trace.x)]
    assert named.count("margin") == named.count("retraining band") == 1
    assert {"standard", "saliency-guided"} < set(named) and len(set(named)) == len(named)


def test_there_is_no_band_without_retrained_networks(over_seeds):
    """Over several seeds a similarity is compared with that of the retrained networks, which are no band beside it."""
    figure = view(figures.effects(over_seeds[0]), "bits: similarity: SSIM")
    margin, band, trace, _ = column(figure, -1)
    assert len(margin.x) == len(trace.x) == 2 and not band.x
    assert len(column(view(figure, "bits: faithfulness: PixelFlipping"), -1)[1].x) == 2


def test_a_step_shows_the_networks_that_take_it(result):
    figure = figures.effects(result[0])
    titles = [annotation.text for annotation in figure.layout.annotations]
    assert titles == ["fp32-ft", "w8a8", "w4a4", "w2a2"]
    groups = list(dict.fromkeys(button.name.partition(":")[0] for button in figure.layout.updatemenus[0].buttons))
    assert groups == list(STEPS)
    for step, taking in (("bits", [0, 1, 1, 1]), ("further training", [1, 0, 0, 0]), ("whole", [0, 1, 1, 1])):
        figure = view(figure, f"{step}: localisation: PointingGame")
        for place, takes in enumerate(taking):
            assert [len(trace.x) for trace in column(figure, place)] == [4 * takes] * 4
        assert step in figure.layout.title.text


def test_effects_say_of_what_they_speak_and_what_retraining_does(result, over_seeds):
    label = "bits: faithfulness: PixelFlipping"
    _, _, trace, _ = column(view(figures.effects(result[0]), label), -1)
    rows = result[0]["effects"].query(
        "metric == 'PixelFlipping' and scheme == 'w2a2' and training == 'standard' and step == 'bits'"
    )
    for text, row in zip(trace.text, rows.itertuples(), strict=True):
        assert f"{row.verdict}, of this network; 32 images, 1 seed<br>{row.retraining} what retraining does" in text
    _, _, trace, _ = column(view(figures.effects(over_seeds[0]), label), -1)
    assert all("of this scheme; 32 images, 3 seeds" in text for text in trace.text)
    _, _, trace, _ = column(view(figures.effects(over_seeds[0]), "bits: similarity: SSIM"), -1)
    assert not any("what retraining does" in text for text in trace.text)


def test_matrix_is_coloured_by_verdict_not_by_value(result):
    table = figures.verdict_table(result[0])
    bits = f"bits, against {STEPS['bits']}: lrp"
    figure = view(figures.verdict_matrix(result[0]), bits)
    heat = figure.data[0]
    place = list(heat.y).index("w2a2, standard"), list(heat.x).index("PointingGame")
    of_cell = "step == 'bits' and networks == 'w2a2, standard' and metric == 'PointingGame'"
    cell = table.query(f"method == 'lrp' and {of_cell}").iloc[0]
    row = result[0]["effects"].query(
        "method == 'lrp' and step == 'bits' and networks == 'w2a2' and training == 'standard' and metric == 'PointingGame'"
    )
    assert cell["delta"] == row["delta"].item() and cell["verdict"] == row["verdict"].item()
    assert heat.z[place[0]][place[1]] == list(VERDICTS).index(cell["verdict"])
    assert f"{cell['delta']:+.3f}" in heat.text[place[0]][place[1]]
    assert not any(name.startswith("fp32,") for name in heat.y)


def test_matrix_rows_are_groups_of_networks_by_step(result, over_seeds):
    table = figures.verdict_table(result[0])
    overall = table[table["method"] == ""]
    # Bits and both steps together of three schemes, further training of one, in two trainings; five metrics.
    assert len(overall) == (3 + 3 + 1) * 2 * 5 and (overall["methods"] == 4).all()
    assert len(table) == len(overall) + len(result[0]["effects"])
    assert not overall.duplicated(["step", "networks", "metric"]).any()
    same = figures.verdict_table(over_seeds[0])
    assert list(same["networks"].unique()) == list(table["networks"].unique())
    assert set(table["scope"]) == {"network"} and set(same["scope"]) == {"scheme"}


def test_over_methods_a_cell_is_the_mean_with_the_verdict_of_most(result):
    overall = figures.verdict_table(result[0]).query("method == ''")
    of_cell = dict(list(result[0]["effects"].groupby(["networks", "training", "step", "metric"])))
    for cell in overall.itertuples():
        rows = of_cell[(*cell.networks.split(", "), cell.step, cell.metric)]
        assert cell.delta == pytest.approx(rows["delta"].mean())
        assert (cell.verdict, cell.agreeing, cell.methods) == majority(rows["verdict"])
        assert cell.beyond == (rows["retraining"] == "beyond").sum()
    assert {0, 4} < set(overall["beyond"])


def test_one_training_goes_without_saying(result):
    few = result[0] | {"effects": result[0]["effects"].query("training == 'standard'")}
    assert set(figures.verdict_table(few)["networks"]) == {"fp32-ft", "w8a8", "w4a4", "w2a2"}


def test_the_matrix_menu_has_a_group_for_each_step(result):
    figure = figures.verdict_matrix(result[0])
    buttons = figure.layout.updatemenus[0].buttons
    groups = list(dict.fromkeys(button.name for button in buttons))
    assert groups == [f"{step}, against {what}" for step, what in STEPS.items()]
    methods = ["all methods", *result[0]["effects"]["method"].unique()]
    for group in groups:
        labels = [button.label for button in buttons if button.name == group]
        assert len(set(labels)) == len(labels) == len(methods) and labels[0] == f"{group}: all methods"
    assert buttons[0].name.startswith("bits, ")
    names = figure.data[0].y
    for group, those in ((groups[0], ("w8a8", "w4a4", "w2a2")), (groups[1], ("fp32-ft",))):
        figure = view(figure, f"{group}: all methods")
        told = {name.partition(",")[0] for name, row in zip(names, figure.data[0].text, strict=True) if any(row)}
        assert told == set(those)


def test_a_cell_says_its_scope_and_how_often_it_is_beyond_retraining(result):
    figure = figures.verdict_matrix(result[0])
    heat = figure.data[0]
    table = figures.verdict_table(result[0]).query("method == '' and step == 'bits' and networks == 'w4a4, standard'")
    for name, text in zip(heat.x, heat.hovertext[list(heat.y).index("w4a4, standard")], strict=True):
        cell = table[table["metric"] == name.replace("<br>", ":")].iloc[0]
        assert f"{cell['verdict']} ({cell['agreeing']} of 4 methods), of this network" in text
        said = f"beyond what retraining does: {cell['beyond']} of 4"
        assert (said in text) == (cell["category"] != "similarity")


def test_each_groups_first_step_is_what_bits_do_where_that_is_known(result):
    table = figures.verdict_table(result[0])
    first = figures.first_step(table).groupby("networks")["step"].agg(set)
    assert {name: steps for name, steps in first.items() if "ft" not in name} == {
        name: {"bits"} for name in first.index if "ft" not in name
    }
    assert all(first[name] == {"further training"} for name in first.index if "ft" in name)
    whole = figures.first_step(table[table["step"] != "bits"])
    assert set(whole["step"]) == {"whole", "further training"} and figures.first_step(table.iloc[:0]).empty


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
        "fp32-ft",  # of as many bits as the next, and before it
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


@pytest.mark.parametrize("draw", [figures.effects, figures.verdict_matrix])
def test_a_baseline_alone_is_compared_with_nothing(alone, draw):
    figure = draw(alone.tables)
    assert not figure.data and figure.layout.annotations[0].text == "No quantized network takes part."
