"""What holds of all charts: views, names, and what is said where there is nothing to draw."""

import json

import pytest

from saq_eval.reporting import figures
from saq_eval.reporting.figures.looks import escaped, most_bits_first
from tests.reporting.fake_run import fake_run
from tests.reporting.figures.views import view

DRAWN = (figures.tradeoff, figures.effects, figures.verdict_matrix, figures.curves)


@pytest.mark.parametrize("draw", DRAWN)
def test_every_view_is_valid(result, draw):
    figure = draw(result[0])
    for button in figure.layout.updatemenus[0].buttons:
        view(figure, button.label)
    assert json.loads(figure.to_json())


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
