"""What is done, unless something else is said."""

from saq_eval.evaluation.executors import Here
from saq_eval.evaluation.how import How


def test_by_default_all_is_computed_whatever_fails():
    how = How(Here())
    assert not how.fail_fast and how.part is None and how.on_keys([]) is None
