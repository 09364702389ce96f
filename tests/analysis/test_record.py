import json

import pytest

from saq_eval import SaqEvalError
from saq_eval.analysis.record import SCHEMA, Record, check_record
from tests.reporting.fake_run import fake_run


@pytest.fixture(scope="module")
def record():
    return fake_run(samples=30, gallery=2)[1]


def test_a_record_is_plain_data_and_is_taken_as_it_is(record, tmp_path):
    read = json.loads(json.dumps(record))
    assert check_record(read, tmp_path) is read
    assert Record.__required_keys__ <= set(record) <= set(Record.__annotations__)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("samples", "many", "run.json: samples: input should be a valid integer"),
        ("headline", "one sentence", "run.json: headline: input should be a valid list"),
        ("maps", {"kept": True, "computed": 3}, "run.json: maps.read: field required"),
        ("schema", 1, f"run.json was written by another version: its schema is 1, and {SCHEMA} is read"),
    ],
)
def test_a_record_that_is_none_is_refused_with_the_field(field, value, message, record):
    with pytest.raises(SaqEvalError, match=message):
        check_record(record | {field: value}, "run.json")
    without = {name: value for name, value in record.items() if name != field}
    with pytest.raises(
        SaqEvalError, match=f"run.json: {field}: field required" if field != "schema" else "schema is 1"
    ):
        check_record(without, "run.json")


def test_something_else_is_no_record():
    with pytest.raises(SaqEvalError, match=r"run.json is no record of a comparison"):
        check_record(["headline"], "run.json")
