"""The matrix of verdicts, and the table behind it."""

import pytest

from saq_eval.analysis.steps import STEPS
from saq_eval.reporting import figures
from saq_eval.reporting.verdicts import VERDICTS, majority
from tests.reporting.figures.views import view


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
