"""The table of findings; what is found is tested in test_claims.py."""

from saq_eval.analysis.claims import answer
from saq_eval.analysis.schema import TABLES, checked
from saq_eval.analysis.tables.findings import findings


def test_every_answer_is_a_row_with_all_that_is_known_of_it(results):
    table = checked(TABLES["findings"], findings(results))
    answers = answer(results)
    assert table["text"].tolist() == [row["text"] for row in answers] and len(table) > 0
    assert {"accuracy", "interpretability", "similarity"} == set(table["quantity"])
    assert set(answers[0]) == set(table.columns)


def test_of_a_baseline_alone_nothing_is_claimed(alone):
    assert checked(TABLES["findings"], findings(alone)).empty
