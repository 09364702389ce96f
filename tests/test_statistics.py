import numpy as np
import pytest

from saq_eval.statistics import mean_interval


def test_interval_of_a_normal_sample():
    values = np.random.default_rng(0).normal(5.0, 2.0, 400)
    mean, low, high = mean_interval(values, seed=0)
    half = 1.96 * values.std() / 20  # the central limit theorem's interval
    assert mean == pytest.approx(values.mean())
    assert low == pytest.approx(mean - half, abs=0.02) and high == pytest.approx(mean + half, abs=0.02)


def test_coverage_is_near_the_nominal_95_percent():
    rng = np.random.default_rng(1)
    intervals = [mean_interval(rng.exponential(1.0, 60), seed=trial)[1:] for trial in range(300)]
    assert 0.89 <= np.mean([low <= 1.0 <= high for low, high in intervals]) <= 0.98


def test_undefined_values_are_left_out():
    assert mean_interval(np.array([1.0, np.nan, 3.0, np.nan]), 0)[0] == 2.0


def test_constant_one_and_no_values():
    assert mean_interval(np.zeros(10), 0) == (0.0, 0.0, 0.0)
    assert mean_interval(np.array([2.5]), 0)[0] == 2.5 and np.isnan(mean_interval(np.array([2.5]), 0)[1:]).all()
    assert np.isnan(mean_interval(np.full(3, np.nan), 0)).all()


def test_the_seed_decides():
    values = np.random.default_rng(0).normal(size=50)
    assert mean_interval(values, 1) == mean_interval(values, 1) != mean_interval(values, 2)
