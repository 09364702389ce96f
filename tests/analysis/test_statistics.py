"""What the statistics return, row by row; how often they err is in test_error_rates.py."""

import numpy as np
import pytest
from scipy import stats

from saq_eval.analysis import statistics
from saq_eval.analysis.statistics import (
    adjust,
    compare_paired,
    defined_mean,
    estimate,
    intervals,
    jackknife,
    mean_of,
    spread,
)


def rows(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def paired(differences, **arguments):
    """Effects where a standard deviation of 1 is the baseline's, and higher is better."""
    count = len(differences)
    return compare_paired(differences, np.ones(count), np.ones(count, dtype=bool), **arguments)


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


def test_the_correction_for_skewness_is_undone():
    quantiles = np.linspace(-4, 4, 33)[:, None]
    for skew in (-0.6, -1e-12, 0.0, 0.3):
        back = statistics._without_skew(statistics._with_skew(quantiles, np.array([[skew]])), np.array([[skew]]))
        np.testing.assert_allclose(back, quantiles, atol=1e-9)


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


def test_rows_do_not_depend_on_what_stands_beside_them():
    one, three = rows(1, 40) + 0.4, rows(3, 40, seed=3)
    padded = np.stack([np.concatenate([one, np.full((2, 40), np.nan)]), three])
    beside, alone = paired(padded, family=np.array([-1, -1])), paired(one)
    assert beside.p_value[0] == alone.p_value[0] and beside.delta_ci_low[0] == alone.delta_ci_low[0]
    assert beside.n.tolist() == [40, 40] and beside.scope.tolist() == ["network", "scheme"]


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


def test_equivalence_is_two_one_sided_t_tests():
    half = 0.3 * rows(1, 30, seed=5)
    differences = np.concatenate([half, -half], axis=1) + 0.05
    found = paired(differences, margin=0.2)
    upper = stats.ttest_1samp(differences[0], 0.2, alternative="less").pvalue
    lower = stats.ttest_1samp(differences[0], -0.2, alternative="greater").pvalue
    assert found.p_equivalence[0] == pytest.approx(max(upper, lower), rel=1e-6)
    assert found.verdict[0] == "negligible" and found.margin[0] == 0.2


def test_verdicts():
    noise = 0.05 * rows(40, seed=6)
    differences = np.stack([noise + 1, noise - 1, 10 * noise, noise, noise - 0.1, np.full(40, np.nan)])
    effects = paired(differences)
    expected = ["better", "worse", "undecided", "negligible", "worse, but within the margin", "too few images"]
    assert effects.verdict.tolist() == expected
    assert effects.effect_size[0] == pytest.approx(effects.delta[0])
    turned = compare_paired(differences, np.ones(6), np.zeros(6, dtype=bool))
    assert turned.verdict.tolist()[:2] == ["worse", "better"]
    assert turned.verdict[4] == "better, but within the margin"


def test_where_nothing_varies_the_rule_of_three_holds():
    """Of n images none differs: 3 / n of all may. A range of 1 leaves room for as much."""
    for images, verdict in ((45, "undecided"), (90, "negligible")):
        found = compare_paired(np.zeros((1, images)), np.full(1, 0.2), np.ones(1, dtype=bool), reach=np.ones(1) * 0.8)
        assert found.verdict[0] == verdict  # a margin of 0.04, and 3 * 0.8 / 45 = 0.053, 3 * 0.8 / 90 = 0.027
        low, high = found.estimates.limits(0.05)
        assert high[0] == pytest.approx(0.8 * -np.log(0.05) / images) and low[0] == -high[0]
    certain = compare_paired(np.full((1, 40), 0.5), np.ones(1), np.ones(1, dtype=bool), reach=np.ones(1))
    assert certain.verdict[0] == "better" and 0 < certain.p_value[0] < 1e-6


def test_few_images_give_no_verdict():
    assert paired(0.01 * rows(1, 29)).verdict[0] == "too few images"
    assert paired(0.01 * rows(1, 30)).verdict[0] == "negligible"
    assert paired(1 + 0.1 * rows(1, 29)).verdict[0] == "too few images"


def test_similarities_are_equivalent_where_the_maps_are_the_same():
    difference, same, other = 0.4 + 0.05 * rows(3, 40), np.full((3, 90), 0.001), np.full((3, 40), 0.3)
    assert paired(difference[None], distance=other[None]).verdict[0] == "better"
    found = paired(np.tile(difference, 3)[None, :, :90], distance=same[None])
    assert found.verdict[0] == "negligible" and found.margin[0] == statistics.SAME_MAPS
    # Further than 5 % of the way, but no further than invisible noise moves maps; or just further.
    noise = 0.3 + 0.05 * rows(3, 90, seed=8)
    for away, verdict in ((-0.02, "negligible"), (0.02, "better")):
        moved = noise + away + 0.01 * rows(3, 90, seed=9)
        found = paired(np.tile(difference, 3)[None, :, :90], distance=moved[None], allowed=noise[None])
        assert found.verdict[0] == verdict and found.margin[0] == pytest.approx(noise.mean())
    # With nothing to compare with, the same maps are the same, and others have no verdict.
    nothing = np.full((1, 90), np.nan)
    assert paired(nothing, distance=same[:1], by_retraining=np.array([True])).verdict[0] == "negligible"
    assert paired(nothing, distance=np.full((1, 90), 0.3), by_retraining=np.array([True])).verdict[0] == ""


def test_the_retraining_band_is_a_prediction_interval():
    retrained = np.array([0.1, 0.3, 0.2, 0.4])
    half = stats.t.ppf(0.975, 3) * retrained.std(ddof=1) * np.sqrt(1 + 1 / 4)
    middle = retrained.mean()
    values = rows(3, 50) * 0.01 + np.array([middle + half + 0.05, middle, middle - half - 0.05])[:, None]
    found = paired(values, retrained=np.tile(retrained, (3, 1)))
    np.testing.assert_allclose(found.retraining_high, middle + half)
    np.testing.assert_allclose(found.retraining_low, min(0, middle - half))
    assert found.retraining.tolist() == ["beyond", "within", "beyond"] and found.retrained.tolist() == [4, 4, 4]


def test_no_difference_is_within_retraining_whatever_the_baseline():
    """A baseline that lies apart from its retrained twins is not beyond retraining itself."""
    found = paired(0.001 * rows(1, 40), retrained=np.array([[2.0, 2.1, 1.9, 2.05]]))
    assert found.retraining_low[0] == 0 or found.retraining[0] == "within"
    exact = paired(np.zeros((1, 40)), retrained=np.array([[2.0, 2.1, 1.9, 2.05]]))
    assert exact.retraining[0] == "within" and exact.retraining_low[0] == 0


@pytest.mark.parametrize("retrained", [[], [0.1], [0.1, -0.2]])
def test_fewer_than_three_retrained_networks_give_a_range_and_no_verdict(retrained):
    values = np.array([[*retrained, *[np.nan] * (4 - len(retrained))]])
    found = paired(5 + rows(1, 40), retrained=values)
    assert found.retraining[0] == ""
    if retrained:
        assert found.retraining_high[0] == 0.1 and found.retraining_low[0] == min(0, *retrained, 0)
    else:
        assert np.isnan(found.retraining_low[0])


def test_a_similarity_of_one_network_is_tested_by_how_retrained_ones_differ():
    retrained = np.array([-0.1, 0.0, 0.1])
    error = retrained.std(ddof=1) * np.sqrt(1 + 1 / 3)
    values = rows(1, 40) * 0.01 - 0.5
    found = paired(values, retrained=retrained[None], by_retraining=np.array([True]))
    expected = 2 * stats.t.sf(abs(values.mean()) / error, 2)
    assert found.p_value[0] == pytest.approx(expected) and found.retraining[0] == "beyond"
    assert found.delta_ci_high[0] == pytest.approx(values.mean() + stats.t.ppf(0.975, 2) * error)
    few = paired(values, retrained=retrained[None, :2], by_retraining=np.array([True]))
    assert np.isnan(few.p_value[0]) and few.verdict[0] == "" and np.isnan(few.delta_ci_low[0])
    alike = paired(-values, retrained=retrained[None], by_retraining=np.array([True]))
    assert alike.retraining[0] == "within"  # more alike than retrained networks is not beyond what retraining does


def test_how_many_would_decide():
    open_rows = 0.06 + rows(1, 50, seed=11) * 0.6
    found = paired(open_rows, margin=0.1)
    assert found.verdict[0] == "undecided" and np.isnan(found.networks_needed[0])
    needed = int(found.images_needed[0])
    # As many images of the same mean and spread do decide, and two thirds of them do not.
    standard = (open_rows - open_rows.mean()) / open_rows.std()

    def at(images):
        again = np.random.default_rng(0).standard_normal(images)
        again = (again - again.mean()) / again.std() * open_rows.std() + open_rows.mean()
        return paired(again[None], margin=0.1).verdict[0]

    assert standard.std() == pytest.approx(1) and at(int(1.1 * needed)) != "undecided" == at(2 * needed // 3)
    networks = np.array([-0.1, 0.1, 0.35, 0.05])[None, :, None] + 0.01 * rows(1, 4, 200)
    found = paired(networks, margin=0.05)
    assert found.verdict[0] == "undecided" and 5 <= found.networks_needed[0] <= 20


def test_the_jackknife_of_pairs():
    rng = np.random.default_rng(4)
    own, between = rng.random((4, 6)), rng.random((4, 4, 6))
    pseudo = jackknife(own, between)
    pairs = [between[a, b] for a in range(4) for b in range(4) if a != b]
    np.testing.assert_allclose(pseudo.mean(axis=0), own.mean(axis=0) - np.mean(pairs, axis=0))
    # By hand, without network 2.
    left = own[[0, 1, 3]].mean(axis=0) - np.mean(
        [between[a, b] for a in (0, 1, 3) for b in (0, 1, 3) if a != b], axis=0
    )
    np.testing.assert_allclose(pseudo[2], 4 * (own.mean(axis=0) - np.mean(pairs, axis=0)) - 3 * left)
    assert np.isnan(jackknife(own[:2], between[:2, :2])).all()


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
