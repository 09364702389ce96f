import csv
from dataclasses import replace

import pandas as pd
import pytest

from saq_eval.analysis.tables import TABLES
from saq_eval.core.errors import SaqEvalError
from saq_eval.reporting import check_writable, read_run, render, write_report
from saq_eval.reporting.output import files, read_csv, write_csv
from tests.reporting.fake_run import HOSTILE

NAMES = [
    *HOSTILE,
    "NA",
    "",
    "nan",
    "None",
    "'quoted",
    "'=1",
    "''=1",
    "-1",
    "+1",
    "@a",
    "\ttab",
    "\rreturn",
    "\nline",
    "＝1",
    "1.50",
    "a\r\nb",
]


@pytest.mark.parametrize(("made", "written"), [("result", "folder"), ("hostile", "hostile_folder")])
def test_a_written_run_is_read_back(request, made, written):
    tables, run, gallery = request.getfixturevalue(made)
    read, record, pictures = read_run(request.getfixturevalue(written))
    assert set(read) == set(tables) == set(TABLES)
    for name, table in tables.items():
        pd.testing.assert_frame_equal(read[name], table.reset_index(drop=True), check_dtype=False, rtol=1e-6)
    assert {key: value for key, value in record.items() if key != "wall_seconds"} == {
        key: value for key, value in run.items() if key != "wall_seconds"
    }
    assert record["wall_seconds"]["reporting"] > 0
    assert pictures.groups == gallery.groups


def test_a_run_is_drawn_anew_from_its_folder(folder):
    assert len(render([read_run(folder)])) == pytest.approx(
        len((folder / "report.html").read_text(encoding="utf-8")), rel=0.01
    )


def test_scores_may_be_missing(result, tmp_path):
    write_report(tmp_path, *result)
    (tmp_path / "scores.csv").unlink()
    tables, _, _ = read_run(tmp_path)
    assert "scores" not in tables and "summary" in tables


def test_names_come_back_as_they_were(tmp_path):
    table = pd.DataFrame({"model": NAMES, "delta": range(len(NAMES)), "verdict": "", "higher_is_better": True})
    columns = TABLES["summary"].columns
    write_csv(table, columns, tmp_path / "table.csv")
    back = read_csv(tmp_path / "table.csv", columns)
    assert back["model"].tolist() == NAMES
    assert (
        back["verdict"].eq("").all()
        and back["higher_is_better"].all()
        and back["delta"].tolist() == table["delta"].tolist()
    )


def test_no_cell_is_a_formula(tmp_path):
    table = pd.DataFrame({"model": NAMES, "delta": -1.5})
    write_csv(table, TABLES["summary"].columns, tmp_path / "table.csv")
    with open(tmp_path / "table.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows) == 1 + len(NAMES)
    for name, number in rows[1:]:
        assert not name.startswith(("=", "+", "-", "@", "\t", "\r")) and number == "-1.5"


def test_no_cell_of_a_result_is_a_formula(hostile_folder):
    """Names of networks stand in more than one column, and in the names of their groups."""
    for name in TABLES:
        with open(hostile_folder / f"{name}.csv", encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                for column, cell in row.items():
                    assert not cell.startswith(("=", "+", "@", "\t", "\r")), (name, column)
                    assert not cell.startswith("-") or float(cell) <= 0, (name, column)


def test_a_real_comparison_is_read_back(real, tmp_path):
    real.write(tmp_path)
    tables, run, _ = read_run(tmp_path)
    for name, table in real.tables.items():
        pd.testing.assert_frame_equal(tables[name], table, check_dtype=False, rtol=1e-6)
    assert run["headline"] == real.run["headline"]


def test_a_folder_whose_name_is_no_text_can_be_written(result, tmp_path):
    tables, run, gallery = result
    odd = "bad\udcff"
    gallery = replace(gallery, class_names=(odd, *gallery.class_names[1:]))
    write_report(tmp_path, tables, run | {"command": odd}, gallery)
    _, record, pictures = read_run(tmp_path)
    assert record["command"] == odd == pictures.class_names[0]


def test_the_same_result_gives_the_same_bytes(result, folder, tmp_path):
    write_report(tmp_path, *result)
    for name in files():
        if name not in ("run.json",):
            assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


def test_nothing_appears_where_writing_fails(result, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("saq_eval.reporting.output.render", fail)
    with pytest.raises(SaqEvalError, match="No space left"):
        write_report(tmp_path, *result)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", ["run.json", "summary.csv", "gallery.npz"])
def test_a_folder_that_is_no_run_is_an_error(result, tmp_path, missing):
    write_report(tmp_path, *result)
    (tmp_path / missing).unlink()
    with pytest.raises(SaqEvalError, match=missing.replace(".", r"\.") if missing != "gallery.npz" else "no gallery"):
        read_run(tmp_path)


@pytest.mark.parametrize(("name", "column"), [("effects", "networks"), ("models", "networks"), ("effects", "step")])
def test_a_run_of_an_earlier_version_is_told_to_be_one(result, tmp_path, name, column):
    write_report(tmp_path, *result)
    write_csv(result[0][name].drop(columns=column), TABLES[name].columns, tmp_path / f"{name}.csv")
    with pytest.raises(SaqEvalError, match=rf"earlier version: its {name}\.csv"):
        read_run(tmp_path)


def test_check_writable_leaves_no_trace(tmp_path):
    check_writable(tmp_path / "new" / "folder")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "report.html").mkdir()
    with pytest.raises(SaqEvalError, match=r"report\.html is a folder"):
        check_writable(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(SaqEvalError, match="cannot be written"):
        check_writable(tmp_path / "file")
