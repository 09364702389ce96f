import numpy as np
import pandas as pd

from saq_eval.reporting.page import tables
from saq_eval.reporting.page.tables import Column, make_table


def test_cells_are_written_by_kind():
    frame = pd.DataFrame({"a": [0.12345, np.nan], "b": ["x\ny", "z"], "dataset": ["d", "d"]})
    table = make_table(
        "t", "", (Column("b", "b", "text"), tables.text("dataset"), Column("a", "a %", "+.1f", 100)), frame
    )
    assert table.rows == [("x�y", "+12.3"), ("z", "")]
    assert [column.title for column in table.columns] == ["b", "a %"]


def test_datasets_are_named_where_there_are_several():
    frame = pd.DataFrame({"dataset": ["d", "e"]})
    assert make_table("t", "", (tables.text("dataset"),), frame).rows == [("d",), ("e",)]


def test_long_tables_say_where_the_rest_is(monkeypatch):
    monkeypatch.setattr(tables, "ROWS", 2)
    table = make_table("t", "", (Column("a", "a", "d"),), pd.DataFrame({"a": range(5)}))
    assert table.rows == [("0",), ("1",)] and table.total == 5 and table.source == "t.csv"


def test_conditions_stand_side_by_side(result):
    frame = result[0]["conditions"]
    table = tables.conditions(result[0])
    assert len(table.rows) == len(frame) // 2
    titles = [column.title for column in table.columns]
    row = dict(zip(titles, table.rows[0], strict=True))
    for condition in ("both right", "agree"):
        mine = frame[(frame[["model", "method", "metric"]] == list(table.rows[0][:3])).all(axis=1)]
        mine = mine[mine["condition"] == condition].iloc[0]
        assert row[f"{condition}: verdict"] == mine["verdict"] and row[f"{condition}: images"] == str(mine["n"])


def test_controls_are_counted(result):
    frame = result[0]["controls"]
    counted = tables.told_apart(frame).set_index(["metric", "control"])
    cell = counted.loc[("PointingGame", "edges")]
    assert cell["cells"] == 10 * 4 == cell["better"] + cell["worse"] + cell["unclear"]
    assert cell["tells"] == "no" and counted.loc[("SSIM", "random"), "tells"] == "yes"
    # Maps by random weights are judged as a baseline's, but for similarity, which baselines have none of.
    assert counted.loc[("PointingGame", "random weights"), "cells"] == 2 * 4
    assert counted.loc[("SSIM", "random weights"), "cells"] == 8 * 4


def test_effects_say_step_scope_and_retraining(over_seeds):
    frame = over_seeds[0]["effects"]
    table = tables.effects(over_seeds[0])
    keys = [column.key for column in table.columns]
    assert keys[:5] == ["networks", "training", "step", "method", "metric"] and len(set(keys)) == len(keys)
    for cells, row in zip(table.rows, frame.itertuples(), strict=True):
        told = dict(zip(keys, cells, strict=True))
        for key in ("step", "scope", "retraining", "verdict"):
            assert told[key] == getattr(row, key)
        low = "" if np.isnan(row.retraining_low) else format(row.retraining_low, "+.3g")
        needed = "" if np.isnan(row.networks_needed) else str(int(row.networks_needed))
        assert (told["retraining_low"], told["networks_needed"], told["seeds"]) == (low, needed, "3")
    assert {"", "beyond", "within"} == set(frame["retraining"]) and frame["networks_needed"].notna().any()


def test_verdicts_are_those_of_groups_by_step(result):
    table = tables.verdicts(result[0])
    keys = [column.key for column in table.columns]
    assert keys == ["networks", "step", "metric", "category", "verdict", "scope", "delta", "share", "beyond"]
    assert len(table.rows) == 7 * 2 * 5 and table.source == "effects.csv"
    assert {row[1] for row in table.rows} == {"bits", "further training", "whole"}
    assert {row[5] for row in table.rows} == {"network"}
    assert all(0 <= int(row[8]) <= 4 and row[7].endswith(" of 4") for row in table.rows)


def test_findings_say_what_the_data_say(result):
    frame = result[0]["findings"]
    table = tables.findings(result[0])
    places = [[column.key for column in table.columns].index(key) for key in ("claim", "networks", "verdict", "words")]
    shown = [tuple(row[place] for place in places) for row in table.rows]
    assert shown == list(frame[["claim", "networks", "verdict", "words"]].itertuples(index=False, name=None))


def test_every_table_of_the_page_is_made(result):
    for name in (
        *("networks", "layers", "findings", "tradeoff", "effects", "verdicts", "summary"),
        *("conditions", "curves", "controls", "robustness", "agreement"),
    ):
        table = getattr(tables, name)(result[0])
        assert table.rows and all(len(row) == len(table.columns) for row in table.rows), name
