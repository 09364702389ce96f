"""The matrix of verdicts."""

from saq_eval.analysis.steps import STEPS
from saq_eval.analysis.verdicts import verdict_table
from saq_eval.reporting import figures
from saq_eval.reporting.verdicts import VERDICTS
from tests.reporting.fake_run import TAKEN
from tests.reporting.figures.views import view


def test_matrix_is_coloured_by_verdict_not_by_value(result):
    table = verdict_table(result[0])
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


def test_the_matrix_menu_has_a_group_for_each_step(result):
    figure = figures.verdict_matrix(result[0])
    buttons = figure.layout.updatemenus[0].buttons
    groups = list(dict.fromkeys(button.name for button in buttons))
    assert groups == [f"{step}, against {what}" for step, what in STEPS.items() if step in TAKEN]
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
    table = verdict_table(result[0]).query("method == '' and step == 'bits' and networks == 'w4a4, standard'")
    for name, text in zip(heat.x, heat.hovertext[list(heat.y).index("w4a4, standard")], strict=True):
        cell = table[table["metric"] == name.replace("<br>", ":")].iloc[0]
        assert f"{cell['verdict']} ({cell['agreeing']} of 4 methods), of this network" in text
        said = f"beyond what retraining does: {cell['beyond']} of 4"
        assert (said in text) == (cell["category"] != "similarity")
