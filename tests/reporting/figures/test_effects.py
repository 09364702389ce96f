"""The chart of what each scheme does, step by step."""

import numpy as np
import pytest

from saq_eval.reporting import figures
from saq_eval.reporting.verdicts import VERDICTS
from tests.reporting.fake_run import TAKEN
from tests.reporting.figures.views import view


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


@pytest.mark.parametrize("step", TAKEN)
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
    assert groups == TAKEN
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
