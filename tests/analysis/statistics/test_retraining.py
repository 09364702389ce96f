"""What retraining alone does, against SciPy and by hand."""

import numpy as np
import pytest
from scipy import stats

from saq_eval.analysis.statistics import jackknife
from tests.analysis.statistics.made import paired, rows


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
