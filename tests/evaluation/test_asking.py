import inspect

import pytest

from saq_eval.evaluation.asking import asked_by, store_of
from saq_eval.evaluation.plan import Plan


@asked_by(Plan)
def seed_of(plan: Plan) -> int:
    return plan.seed


def test_a_function_of_a_plan_takes_its_fields():
    assert seed_of("digits", seed=3) == 3 and "margin" in inspect.signature(seed_of).parameters
    with pytest.raises(TypeError, match=r"seed_of\(\) got an unexpected keyword argument 'sed'"):
        seed_of("digits", sed=3)


def test_where_the_store_is(tmp_path):
    assert store_of(Plan("digits")) is None
    assert store_of(Plan("digits", output=tmp_path)) == tmp_path / "store"
    assert store_of(Plan("digits", output=tmp_path, store=tmp_path / "shared")) == tmp_path / "shared"
