"""Adjusted p-values against numbers worked out by hand."""

import numpy as np

from saq_eval.analysis import statistics
from saq_eval.analysis.statistics import adjust, estimate
from tests.analysis.statistics.made import rows


def test_adjusted_p_values_are_benjamini_and_hochbergs_within_a_family():
    p = np.array([0.01, 0.04, 0.03, 0.005, np.nan, 0.2])
    np.testing.assert_allclose(adjust(p, np.zeros(6, dtype=int))[:4], [0.025, 0.05, 0.05, 0.025])
    split = adjust(p, np.array([0, 0, 1, 1, 1, -1]))
    np.testing.assert_allclose(split, [0.02, 0.04, 0.03, 0.01, np.nan, 0.2])


def test_families_of_a_group_are_first_tested_against_each_other():
    p, family = np.array([0.01, 0.2, 0.02, 0.9, 0.5, 0.6]), np.array([0, 0, 1, 1, 2, 2])
    alone = adjust(p, family)
    np.testing.assert_allclose(alone, [0.02, 0.2, 0.04, 0.9, 0.6, 0.6])
    # None of the families is selected, of 0.06, 0.06 and 0.6; below, two of three are, so half as much again is taken.
    together = adjust(p, family, np.zeros(6, dtype=int))
    np.testing.assert_allclose(together, [0.06, 0.6, 0.12, 1.0, 1.0, 1.0])
    strong = adjust(np.array([0.001, 0.2, 0.002, 0.9, 0.5, 0.6]), family, np.zeros(6, dtype=int))
    np.testing.assert_allclose(strong, [0.006, 0.3, 0.006, 1.0, 0.9, 0.9])
    np.testing.assert_allclose(adjust(p, family, family), alone)


def test_nothing_is_found_in_a_group_of_nothing_but_in_one_of_twenty():
    rng = np.random.default_rng(0)
    family = np.repeat(np.arange(4), 12)
    found = [(adjust(rng.random(48), family, np.zeros(48, dtype=int)) < 0.05).any() for _ in range(1500)]
    assert 0.03 < np.mean(found) < 0.06


def test_a_corrected_interval_agrees_with_the_corrected_p_value():
    values = 0.3 * rows(12, 60) + np.linspace(0, 0.11, 12)[:, None]
    found = estimate(values)
    above = found.above()
    adjusted = adjust(above, np.zeros(12, dtype=int))
    low, _ = found.limits(statistics.LEVEL * statistics.correction(above, adjusted))
    np.testing.assert_array_equal(low > 0, adjusted < statistics.LEVEL)
    assert ((above < statistics.LEVEL) & (adjusted >= statistics.LEVEL)).any()  # else nothing was tested
