"""When a difference is too small to matter, and when maps are the same."""

import numpy as np
import pytest
from scipy import stats

from saq_eval.analysis import statistics
from tests.analysis.statistics.made import paired, rows


def test_equivalence_is_two_one_sided_t_tests():
    half = 0.3 * rows(1, 30, seed=5)
    differences = np.concatenate([half, -half], axis=1) + 0.05
    found = paired(differences, margin=0.2)
    upper = stats.ttest_1samp(differences[0], 0.2, alternative="less").pvalue
    lower = stats.ttest_1samp(differences[0], -0.2, alternative="greater").pvalue
    assert found.p_equivalence[0] == pytest.approx(max(upper, lower), rel=1e-6)
    assert found.verdict[0] == "negligible" and found.margin[0] == 0.2


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
