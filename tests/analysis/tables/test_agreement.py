"""The table that tells whether metrics agree."""

import numpy as np
import pytest

from saq_eval.analysis.schema import TABLES, checked
from saq_eval.analysis.tables.agreement import agreement
from tests.analysis.made import results_of

ORDER = ["cnn-fp32", "cnn-w8a8", "cnn-w4a4", "cnn-w2a2"]
METRICS = ["FaithfulnessCorrelation", "PixelFlipping", "PointingGame", "SSIM"]


@pytest.fixture
def ranked(make_grid):
    """Networks that two metrics rank in one order, and a third the other way round; of PixelFlipping, lower is better."""

    def level(role, method, metric, name):
        place = ORDER.index(name) if name in ORDER else 0
        return {"FaithfulnessCorrelation": -place, "PixelFlipping": place, "PointingGame": place}.get(metric, -place)

    return results_of(*make_grid(ORDER, level, metrics=METRICS, methods=("saliency", "lrp")))


def test_metrics_agree_on_which_network_is_worse(ranked):
    found = checked(TABLES["agreement"], agreement(ranked)).set_index(["metric", "other"])
    assert len(found) == 6
    assert found.loc[("FaithfulnessCorrelation", "PixelFlipping"), "tau"] == pytest.approx(1)
    assert found.loc[("PixelFlipping", "PointingGame"), "tau"] == pytest.approx(-1)
    assert found.loc[("FaithfulnessCorrelation", "PixelFlipping"), "n"] == 4


def test_a_baselines_similarity_to_itself_does_not_count(ranked):
    found = agreement(ranked).set_index(["metric", "other"])
    assert found.loc[("PixelFlipping", "SSIM"), "n"] == 3


def test_a_method_that_is_undefined_for_a_network_is_left_out_for_all(ranked):
    subject = ranked.grid.by_name["cnn-w2a2"]
    ranked.grid.scores(subject, "lrp", "PixelFlipping")[:] = np.nan
    found = agreement(ranked).set_index(["metric", "other"])
    assert found.loc[("FaithfulnessCorrelation", "PixelFlipping"), "tau"] == pytest.approx(1)
    ranked.grid.scores(subject, "saliency", "PixelFlipping")[:] = np.nan
    undefined = agreement(ranked).set_index(["metric", "other"]).loc[("FaithfulnessCorrelation", "PixelFlipping")]
    assert np.isnan(undefined["tau"]) and undefined["n"] == 0
