"""Means and spreads against numbers worked out by hand."""

import numpy as np
import pytest

from saq_eval.analysis import statistics
from saq_eval.analysis.statistics import defined_mean, mean_of, spread


def test_means_and_spreads_skip_what_is_undefined():
    np.testing.assert_array_equal(
        mean_of([np.array([1.0, np.nan, np.nan]), np.array([3.0, 4.0, np.nan])]), [2, 4, np.nan]
    )
    assert defined_mean(np.array([np.nan, 1.0, 2.0])) == 1.5 and np.isnan(defined_mean(np.array([np.nan])))
    assert spread(np.array([1.0, np.nan, 3.0])) == pytest.approx(np.sqrt(2)) and spread(np.array([1.0])) == 0
    hits = np.ones(60)
    assert statistics.spread_of_scores(hits) == pytest.approx(np.sqrt(0.05 * 0.95)) and spread(hits) == 0
    assert statistics.spread_of_scores(hits * 2) == 0 and statistics.spread_of_scores(np.eye(2)[0].repeat(9)) > 0.5
    assert statistics.reach(np.array([1.0, np.nan, 3.0])) == 2 and statistics.reach(np.array([np.nan])) == 0


def test_shorter_arrays_are_padded_with_undefined_values():
    stacked = statistics.padded([np.ones((1, 2)), np.zeros((3, 2))])
    assert stacked.shape == (2, 3, 2)
    assert np.isnan(stacked[0, 1:]).all() and stacked[0, 0].tolist() == [1, 1] and not stacked[1].any()
