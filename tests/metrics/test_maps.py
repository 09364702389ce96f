import warnings

import numpy as np
import pytest

from saq_eval.metrics.maps import is_degenerate, largest_magnitudes, read, top_membership


@pytest.mark.parametrize(
    ("reading", "first", "second"),
    [
        ("signed maps", [[-1.0, 0.5]], [[-1.0, -0.25]]),
        ("magnitudes", [[1.0, 0.5]], [[1.0, 0.25]]),
        ("positive relevance", [[0.0, 1.0]], [[0.0, 0.0]]),
        ("unscaled maps", [[-4.0, 2.0]], [[-8.0, -2.0]]),
    ],
)
def test_each_map_is_read_over_its_own_largest_magnitude(reading, first, second):
    maps = np.array([[[-4, 2]], [[-8, -2]], [[0, 0]]], dtype=np.float32)
    before = maps.copy()
    found = read(reading, maps)
    assert found.dtype == np.float64 and found.tolist() == [first, second, [[0.0, 0.0]]]
    assert np.array_equal(maps, before)


def test_scaling_is_in_double_precision():
    maps = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(np.float32)
    expected = np.abs(maps.astype(np.float64))
    assert np.array_equal(read("magnitudes", maps), expected / expected.max(axis=(1, 2), keepdims=True))
    largest = largest_magnitudes(maps)
    assert largest.dtype == np.float32 and largest.shape == (3, 1, 1)
    assert largest.ravel().tolist() == [max(map(abs, one)) for one in maps.reshape(3, -1).tolist()]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_map_that_is_not_finite_disturbs_no_other_and_warns_of_nothing(value):
    maps = np.ones((2, 2, 2), dtype=np.float32)
    maps[0, 0, 0], maps[1, 0, 0] = value, 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read("magnitudes", maps)
    assert is_degenerate(found).tolist() == [True, False] and found[1].tolist() == [[1.0, 0.5], [0.5, 0.5]]


def test_is_degenerate():
    maps = np.zeros((5, 4, 4), dtype=np.float32)
    maps[1] = 2.5
    maps[2, 0, 0] = 1
    maps[3], maps[3, 1, 1] = 1, np.nan
    maps[4], maps[4, 1, 1] = 1, -np.inf
    assert is_degenerate(maps).tolist() == [True, True, False, True, True]


def test_membership_is_the_mean_over_the_orders_of_tied_pixels():
    relevance = np.random.default_rng(0).integers(-1, 3, (4, 12)).astype(float)
    counts, orders = np.array([1, 3, 5, 12]), np.random.default_rng(1)
    found = np.zeros((4, 12))
    for _ in range(4000):
        shuffled = orders.permutation(12)
        for row in range(4):
            top = shuffled[np.argsort(-relevance[row, shuffled], kind="stable")[: counts[row]]]
            found[row, top] += relevance[row, top] > 0
    np.testing.assert_allclose(top_membership(relevance, counts), found / 4000, atol=0.04)
