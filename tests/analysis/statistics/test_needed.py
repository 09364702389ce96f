"""How many networks or images would decide."""

import numpy as np
import pytest

from tests.analysis.statistics.made import paired, rows


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
