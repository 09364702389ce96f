"""The exact test of 0/1 scores against what is known of it."""

import numpy as np
import pytest
from scipy import stats

from saq_eval.analysis import statistics
from saq_eval.analysis.statistics import paired_binary
from saq_eval.analysis.statistics.paired_binary import above, below, lower_limit, upper_limit


def test_it_is_barnards_test_of_no_difference():
    """With a null of 0 and every differing image a coin, the worst share of differing images is looked for."""
    up, down, images = 9, 2, 20
    p_values = []
    for share in np.linspace(0.01, 1, 200):
        p = 0.0
        for differ in range(images + 1):
            ups = np.arange(differ + 1)
            z = np.divide(2 * ups - differ, np.sqrt(differ)) if differ else np.zeros(1)
            extreme = z >= (up - down) / np.sqrt(up + down) - 1e-9
            p += stats.binom.pmf(differ, images, share) * stats.binom.pmf(ups[extreme], differ, 0.5).sum()
        p_values.append(p)
    assert above(up, down, images, 0.0) == pytest.approx(max(p_values), rel=0.03)


def test_no_difference_at_all_leaves_room_for_about_three_in_n():
    assert upper_limit(0, 0, 60, 0.05) == pytest.approx(3 / 60, rel=0.05)
    assert lower_limit(0, 0, 60, 0.05) == -upper_limit(0, 0, 60, 0.05)


@pytest.mark.parametrize(("up", "down", "images"), [(5, 2, 40), (0, 7, 30), (30, 0, 30), (0, 0, 12)])
def test_limits_are_where_the_p_value_is_the_level(up, down, images):
    for level in (0.025, 0.05):
        low, high = lower_limit(up, down, images, level), upper_limit(up, down, images, level)
        assert low <= (up - down) / images <= high
        if low > -0.99:
            assert above(up, down, images, low - 2e-3) <= level <= above(up, down, images, low + 2e-3) + 1e-9
        if high < 0.99:
            assert below(up, down, images, high + 2e-3) <= level <= below(up, down, images, high - 2e-3) + 1e-9


def test_it_is_used_for_scores_of_0_and_1_alone():
    rng = np.random.default_rng(0)
    differences = rng.choice([-1.0, 0.0, 1.0], p=[0.02, 0.88, 0.1], size=(1, 60))
    up, down = int((differences == 1).sum()), int((differences == -1).sum())
    found = statistics.estimate(differences, np.ones(1))
    assert found.above()[0] == above(up, down, 60, 0.0) and found.below(0.1)[0] == below(up, down, 60, 0.1)
    assert found.limits()[1][0] == upper_limit(up, down, 60, 0.025)
    holes = np.concatenate([differences, np.full((1, 9), np.nan)], axis=1)
    assert statistics.estimate(holes, np.ones(1)).above()[0] == above(up, down, 60, 0.0)
    for other in (statistics.estimate(differences, np.ones(1) * 3), statistics.estimate(0.5 * differences, np.ones(1))):
        assert other.counts[0].tolist() == [-1, -1]
    many = np.zeros((1, paired_binary.MOST_IMAGES + 1))
    assert statistics.estimate(many, np.ones(1)).counts[0].tolist() == [-1, -1]
