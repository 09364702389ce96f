"""What is estimated row by row, against SciPy; how often it errs is in tests/validation/test_error_rates.py."""

import numpy as np
import pytest
from scipy import stats

from saq_eval.analysis.statistics import estimate, intervals
from tests.analysis.statistics.made import rows


def skewed(images=60, seed=0):
    return np.random.default_rng(seed).exponential(size=(1, images)) - 1


def test_over_images_symmetric_differences_get_students_t():
    """Mirrored values have no skewness, so both statistics are Student's."""
    half = rows(1, 40)
    values = np.concatenate([half, -half], axis=1) + 0.2
    expected = stats.ttest_1samp(values[0], 0)
    found = estimate(values)
    assert found.different()[0] == pytest.approx(expected.pvalue, rel=1e-9)
    np.testing.assert_allclose(np.ravel(found.limits()), expected.confidence_interval(), rtol=1e-9)
    assert found.scope.tolist() == ["network"]


def test_over_images_skewed_differences_get_the_wider_interval():
    values = skewed()
    low, high = (float(end[0]) for end in estimate(values).limits())
    ends = stats.ttest_1samp(values[0], 0).confidence_interval()
    # Of data with a long tail upwards, the mean may lie further up than Student's t says.
    assert low == pytest.approx(ends.low) and high > ends.high + 0.02


@pytest.mark.parametrize("shape", [(400, 35), (400, 4, 35)])
def test_interval_and_p_value_never_disagree(shape):
    values = np.exp(rows(*shape)) - 1.4
    found = estimate(values)
    low, high = found.limits()
    np.testing.assert_array_equal((low > 0) | (high < 0), found.different() < 0.05)
    low, high = found.limits(0.05)
    np.testing.assert_array_equal(low > 0, found.above() < 0.05)
    np.testing.assert_array_equal(high < 0, found.below() < 0.05)


def test_over_networks_the_more_cautious_of_two_tests_counts():
    images = 0.3 * rows(1, 1, 40, seed=1)
    alike = images + 0.01 * rows(1, 4, 1, seed=2)  # the images differ, the networks do not
    apart = 0.01 * images + rows(1, 4, 1, seed=2)
    by_network = stats.ttest_1samp(apart[0].mean(axis=1), 0).pvalue
    assert estimate(apart).different()[0] == pytest.approx(by_network, rel=0.01)
    by_image = stats.ttest_1samp(alike[0].mean(axis=0), 0).pvalue
    assert estimate(alike).different()[0] >= by_image > stats.ttest_1samp(alike[0].mean(axis=1), 0).pvalue
    assert estimate(apart).scope.tolist() == ["scheme"]


def test_two_networks_do_not_speak_of_a_scheme():
    two = rows(1, 2, 50) + np.array([0.4, 0.6])[None, :, None]
    found = estimate(two)
    assert found.scope.tolist() == ["network"]
    assert found.different()[0] == estimate(two.mean(axis=1)).different()[0]


def test_undefined_values_are_left_out():
    values = rows(1, 40)
    holes = np.concatenate([values, np.full((1, 10), np.nan)], axis=1)
    for with_holes, without in zip(intervals(holes), intervals(values), strict=True):
        np.testing.assert_allclose(with_holes, without)
    mean, low, high = intervals(np.array([[np.nan, 2.0, np.nan], [np.nan] * 3]))
    assert mean[0] == 2.0 and np.isnan([mean[1], *low, *high]).all()
