import pandas as pd
import pytest

from saq_eval import SaqEvalError
from saq_eval.analysis import schema
from saq_eval.analysis.tables import TABLES, checked, make_tables, result_table
from saq_eval.reporting import render


@pytest.fixture
def counts():
    """A result table of somebody else's, registered for one test."""

    @result_table(
        "counts",
        row="method",
        holds="how often each method was used",
        columns={"dataset": "text", "method": "text", "count": "number", "often": "truth"},
        key=("method",),
    )
    def counts(results):
        rows = [{"dataset": "digits", "method": name, "often": True} for name in results.methods]
        return TABLES["counts"].frame(rows, {"count": range(1, len(rows) + 1)})

    yield counts
    del TABLES._entries["counts"]


def test_a_table_is_one_declaration(counts, over_a_few_methods):
    frame = make_tables(over_a_few_methods)["counts"]
    assert list(frame.columns) == ["dataset", "method", "count", "often"]
    assert frame["count"].tolist() == [1, 2] and TABLES["counts"].frame([]).empty


@pytest.fixture
def over_a_few_methods(monkeypatch):
    class Results:
        methods = ("saliency", "lrp")

    for name in [name for name in TABLES if name != "counts"]:
        monkeypatch.setitem(TABLES._entries, name, schema.ResultTable(name, "", "", {}, (), lambda _: pd.DataFrame()))
    return Results()


def test_the_page_shows_a_table_that_has_no_looks_of_its_own(counts):
    from tests.reporting.fake_run import fake_run

    tables, run, gallery = fake_run(
        schemes=("fp32", "w2a2"), methods=("lrp",), metrics=("SSIM",), samples=32, gallery=2
    )
    frame = pd.DataFrame({"dataset": ["fashionmnist"], "method": ["lrp"], "count": [7.0], "often": [True]})
    page = render([(tables | {"counts": frame}, run, gallery)])
    assert 'id="table-counts"' in page and "By method: how often each method was used." in page


def test_a_table_is_registered_once(counts):
    with pytest.raises(SaqEvalError, match="'counts' is registered already"):
        result_table("counts", row="", holds="", columns={}, key=())(counts)


def test_a_frame_that_is_not_as_declared_is_a_fault(counts):
    frame = TABLES["counts"].frame([{"dataset": "a", "method": "b", "count": 1, "often": False}])
    assert checked(TABLES["counts"], frame) is frame
    with pytest.raises(RuntimeError, match=r"two rows for \('b',\)"):
        checked(TABLES["counts"], pd.concat([frame, frame]))
    with pytest.raises(RuntimeError, match="has the columns"):
        checked(TABLES["counts"], frame[["method"]])


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"name": "my table/x"}, "my table/x"),
        ({"columns": {"method": "float"}}, "unknown kind of column 'float'.* valid: text, number, truth"),
        ({"key": ("methods",)}, "unknown column 'methods'; did you mean 'method'"),
    ],
)
def test_a_declaration_that_cannot_hold_is_refused(declared, message):
    usual = {"name": "counts", "row": "method", "holds": "", "columns": {"method": "text"}, "key": ("method",)}
    with pytest.raises(SaqEvalError, match=message):
        result_table(**usual | declared)
    assert "counts" not in TABLES
