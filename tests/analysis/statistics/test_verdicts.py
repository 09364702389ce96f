"""Verdicts of made-up differences."""

import numpy as np
import pytest

from saq_eval.analysis.statistics import compare_paired
from tests.analysis.statistics.made import paired, rows


def test_rows_do_not_depend_on_what_stands_beside_them():
    one, three = rows(1, 40) + 0.4, rows(3, 40, seed=3)
    padded = np.stack([np.concatenate([one, np.full((2, 40), np.nan)]), three])
    beside, alone = paired(padded, family=np.array([-1, -1])), paired(one)
    assert beside.p_value[0] == alone.p_value[0] and beside.delta_ci_low[0] == alone.delta_ci_low[0]
    assert beside.n.tolist() == [40, 40] and beside.scope.tolist() == ["network", "scheme"]


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
