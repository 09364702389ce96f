"""Cells and facts about maps, there and back."""

import numpy as np
import pytest

from saq_eval.evaluation.cells import Explained, Scored
from saq_eval.evaluation.store import make_store
from saq_eval.evaluation.store.values import explained_of, explained_written, scored_of, written

KEY = {"kind": "cells"}
VALUES = np.array([0.5, np.nan, -1.0])


@pytest.fixture
def there_and_back(tmp_path):
    store = make_store(tmp_path / "store")

    def pass_through(arrays, facts):
        store.put(KEY, arrays, facts)
        return store.get(KEY)

    return pass_through


@pytest.mark.parametrize(
    "scored",
    [
        Scored(VALUES),
        Scored.nothing(3, "no gradient reaches the image"),
        Scored(VALUES, curve=np.ones((3, 4)), chance=VALUES + 1),
        Scored(VALUES, None, VALUES, VALUES + 2, VALUES + 3, {"edges": VALUES + 4, "random": VALUES + 5}),
    ],
)
def test_a_cell(scored, there_and_back):
    again = scored_of(there_and_back(*written(scored)))
    for name in ("scores", "curve", "chance", "to_fine_tuned", "noise"):
        ours, theirs = getattr(scored, name), getattr(again, name)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            np.testing.assert_array_equal(ours, theirs)
    assert again.hole == scored.hole and again.controls.keys() == scored.controls.keys()
    for name, values in scored.controls.items():
        np.testing.assert_array_equal(again.controls[name], values)
    assert again.scores.flags.writeable  # a plain array, not one of the file


def test_facts_about_maps(there_and_back):
    degenerate = np.array([True, False])
    again = explained_of(there_and_back(*explained_written(Explained(degenerate, computed=True))))
    np.testing.assert_array_equal(again.degenerate, degenerate)
    assert not again.computed  # not in this run
    assert explained_of(there_and_back(*explained_written(None))) is None
