import numpy as np
import pytest
from scipy import stats

from saq_eval import statistics
from saq_eval.statistics import (
    adjust,
    compare_paired,
    defined_mean,
    direction,
    intervals,
    mean_of,
    sign_flip_p_values,
    spread,
)


def rows(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def paired(differences, **arguments):
    """Effects where a standard deviation of 1 is the baseline's, and higher is better."""
    count = len(differences)
    return compare_paired(differences, np.ones(count), np.ones(count, dtype=bool), 0, **arguments)


def test_intervals_are_scipys_percentile_bootstrap():
    values = rows(3, 50) + np.array([[0.0], [1.0], [-2.0]])
    mean, low, high = intervals(values, seed=1)
    np.testing.assert_allclose(mean, values.mean(axis=1))
    for row, ends in zip(values, zip(low, high, strict=True), strict=True):
        expected = stats.bootstrap((row,), np.mean, n_resamples=9999, method="percentile", rng=2).confidence_interval
        np.testing.assert_allclose(ends, expected, atol=0.02)


def test_undefined_values_are_left_out():
    values = rows(1, 40)
    holes = np.concatenate([values, np.full((1, 10), np.nan)], axis=1)
    for with_holes, without in zip(intervals(holes, 0), intervals(values, 0), strict=True):
        np.testing.assert_allclose(with_holes, without, atol=0.06)
    mean, low, high = intervals(np.array([[np.nan, 2.0, np.nan], [np.nan] * 3]), seed=0)
    assert mean[0] == 2.0 and np.isnan([mean[1], *low, *high]).all()
    np.testing.assert_allclose(sign_flip_p_values(holes, 0), sign_flip_p_values(values, 0), atol=0.02)


def test_intervals_are_the_same_every_time_and_whatever_stands_beside_them():
    values = rows(5, 30)
    whole, alone = intervals(values, 3), intervals(values[2:3], 3)
    assert all(a[2] == b[0] for a, b in zip(whole, alone, strict=True))


def test_intervals_over_seeds_are_wider_where_seeds_differ():
    images = rows(1, 1, 60)
    alike = np.repeat(images, 3, axis=1)
    apart = alike + np.array([-1.0, 0.0, 1.0])[None, :, None]
    widths = [
        float((high - low)[0]) for _, low, high in (intervals(images, 0), intervals(alike, 0), intervals(apart, 0))
    ]
    assert widths[1] == pytest.approx(widths[0], rel=0.1) and widths[2] > 2 * widths[1]


def test_p_values_are_scipys_permutation_test():
    for shift in (0.0, 0.2, 0.5):
        differences = rows(30, seed=4) + shift
        expected = stats.permutation_test(
            (differences, np.zeros(30)), lambda a, b, axis: (a - b).mean(axis), permutation_type="samples", rng=0
        ).pvalue
        assert sign_flip_p_values(differences[None], 0)[0] == pytest.approx(expected, abs=0.015)


def test_p_values_of_few_images_are_exact_in_the_limit():
    # Of the 2^3 patterns of signs of three positive differences two give a sum as large: p = 1/4.
    assert sign_flip_p_values(np.array([[1.0, 2.0, 3.0]]), 0)[0] == pytest.approx(0.25, abs=0.02)
    assert sign_flip_p_values(np.zeros((1, 9)), 0)[0] == 1.0
    assert np.isnan(sign_flip_p_values(np.array([[1.0, np.nan]]), 0)[0])


def test_adjusted_p_values_are_benjamini_and_hochbergs_within_a_family():
    p = np.array([0.01, 0.04, 0.03, 0.005, np.nan, 0.2])
    np.testing.assert_allclose(adjust(p, np.zeros(6, dtype=int))[:4], [0.025, 0.05, 0.05, 0.025])
    split = adjust(p, np.array([0, 0, 1, 1, 1, -1]))
    np.testing.assert_allclose(split, [0.02, 0.04, 0.03, 0.01, np.nan, 0.2])


def test_equivalence_is_two_one_sided_t_tests():
    differences = 0.05 + 0.3 * rows(60, seed=5)
    found = paired(differences[None], margin=0.2)
    upper = stats.ttest_1samp(differences, 0.2, alternative="less").pvalue
    lower = stats.ttest_1samp(differences, -0.2, alternative="greater").pvalue
    assert found.p_equivalence[0] == pytest.approx(max(upper, lower), rel=1e-6)
    assert found.verdict[0] == "equivalent" and found.margin[0] == 0.2


def test_verdicts():
    noise = 0.05 * rows(40, seed=6)
    differences = np.stack([noise + 1, noise - 1, 10 * noise, noise, np.zeros(40), np.full(40, np.nan)])
    effects = compare_paired(differences, np.ones(6), np.array([True, True, True, True, True, True]), 0)
    assert effects.verdict.tolist() == ["better", "worse", "no evidence", "equivalent", "equivalent", "too few images"]
    assert effects.effect_size[0] == pytest.approx(effects.delta[0])
    turned = compare_paired(differences, np.ones(6), np.zeros(6, dtype=bool), 0)
    assert turned.verdict.tolist()[:2] == ["worse", "better"]
    # Scores that do not vary: no difference is equivalent, and no other is.
    still = compare_paired(np.stack([np.zeros(12), np.ones(12)]), np.zeros(2), np.ones(2, dtype=bool), 0)
    assert still.verdict.tolist() == ["equivalent", "better"] and np.isnan(still.effect_size).all()


def test_few_images_give_no_verdict():
    assert (
        paired(np.zeros((1, 9))).verdict[0] == "too few images" and paired(np.zeros((1, 10))).verdict[0] == "equivalent"
    )
    assert paired(np.ones((1, 9)) + 0.1 * rows(1, 9)).verdict[0] == "too few images"


def test_a_p_value_is_not_bounded_by_the_number_of_permutations():
    differences = 1 + 0.3 * rows(60)
    expected = stats.ttest_1samp(differences, 0).pvalue
    assert sign_flip_p_values(differences[None], 0)[0] == pytest.approx(expected) and expected < 1e-20


def test_a_comparison_with_one_seed_is_tested_by_images_beside_others_with_several():
    one, three = rows(1, 40) + 0.4, rows(3, 40, seed=3)
    padded = np.stack([np.concatenate([one, np.full((2, 40), np.nan)]), three])
    beside, alone = paired(padded), paired(one)
    assert beside.p_value[0] == alone.p_value[0] and beside.n.tolist() == [40, 40]
    assert (beside.delta_ci_low[0], beside.delta_ci_high[0]) == pytest.approx(
        (alone.delta_ci_low[0], alone.delta_ci_high[0]), abs=0.05
    )


def test_similarities_are_equivalent_where_the_maps_are_the_same():
    difference, same, other = 0.4 + 0.05 * rows(1, 40), np.full((1, 40), 0.01), np.full((1, 40), 0.3)
    assert paired(difference, distance=other).verdict[0] == "better"
    found = paired(difference, distance=same)
    assert found.verdict[0] == "equivalent" and found.margin[0] == statistics.SAME_MAPS
    assert paired(np.full((1, 40), np.nan), distance=same).verdict[0] == "equivalent"
    assert paired(np.full((1, 40), np.nan), distance=other).verdict[0] == ""


def null_over_seeds(seed_spread, runs=600):
    rng = np.random.default_rng(0)
    images = rng.standard_normal((runs, 1, 40)) * 0.5
    return seed_spread * rng.standard_normal((runs, 3, 1)) + images + rng.standard_normal((runs, 3, 40))


@pytest.mark.parametrize(("seed_spread", "most"), [(0.0, 0.06), (0.2, 0.06), (1.0, 0.1)])
def test_about_one_in_twenty_null_effects_over_seeds_is_found(seed_spread, most):
    p_values = paired(null_over_seeds(seed_spread), family=np.full(600, -1)).p_value
    assert 0.005 <= (p_values < 0.05).mean() <= most


def test_an_effect_over_seeds_is_found():
    found = paired(null_over_seeds(0.05, runs=50) + 1.0)
    assert (found.verdict == "better").all() and (found.n == 40).all()


def test_means_and_spreads_skip_what_is_undefined():
    np.testing.assert_array_equal(
        mean_of([np.array([1.0, np.nan, np.nan]), np.array([3.0, 4.0, np.nan])]), [2, 4, np.nan]
    )
    assert defined_mean(np.array([np.nan, 1.0, 2.0])) == 1.5 and np.isnan(defined_mean(np.array([np.nan])))
    assert spread(np.array([1.0, np.nan, 3.0])) == pytest.approx(np.sqrt(2)) and spread(np.array([1.0])) == 0


@pytest.mark.parametrize(
    ("low", "high", "higher_is_better", "expected"),
    [
        (0.1, 0.3, True, "better"),
        (0.1, 0.3, False, "worse"),
        (-0.3, -0.1, True, "worse"),
        (-0.3, -0.1, False, "better"),
        (-0.1, 0.3, True, "unclear"),
        (np.nan, np.nan, True, ""),
    ],
)
def test_directions(low, high, higher_is_better, expected):
    assert direction(low, high, higher_is_better) == expected
