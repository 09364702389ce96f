"""Skewness, against SciPy, and Hall's correction, there and back."""

import numpy as np
from scipy import stats

from saq_eval.analysis.statistics.skewness import skewness, with_skew, without_skew
from tests.analysis.statistics.made import rows


def test_the_correction_for_skewness_is_undone():
    quantiles = np.linspace(-4, 4, 33)[:, None]
    for skew in (-0.6, -1e-12, 0.0, 0.3):
        back = without_skew(with_skew(quantiles, np.array([[skew]])), np.array([[skew]]))
        np.testing.assert_allclose(back, quantiles, atol=1e-9)


def test_skewness_leaves_out_what_is_undefined_and_is_0_where_nothing_varies():
    values = np.exp(rows(3, 40))
    values[1, ::5], values[2] = np.nan, 0.3
    found = skewness(values)
    np.testing.assert_allclose(found[:2], stats.skew(values[:2], axis=1, nan_policy="omit"))
    assert found[2] == 0
