"""A comparison made by hand in which 2 bits cost 0.3 of every score, and 12 right predictions."""

import pytest

from saq_eval.attribution import CONTROLS
from tests.analysis.made import results_of

NAMES = ["cnn-fp32", "cnn-fp32-ft", "cnn-w2a2", "cnn-fp32-s1"]
SIMILAR = {"cnn-fp32": 1.0, "cnn-fp32-s1": 1.0, "cnn-fp32-ft": 0.8, "cnn-w2a2": 0.3}


def level(role, method, metric, name):
    if metric == "SSIM":
        return {"retrained": 0.6, "control": 0.1}.get(role, SIMILAR.get(name))
    sign = -1 if metric == "PixelFlipping" else 1  # of this one, lower is better
    if method in CONTROLS or role == "control":
        return 0.5 - 0.6 * sign
    return 0.5 - 0.3 * sign * ("w2a2" in name)


@pytest.fixture
def results(make_grid):
    metrics = ["FaithfulnessCorrelation", "PixelFlipping", "SSIM"]
    return results_of(*make_grid(NAMES, level, {"cnn-w2a2": 12}, metrics=metrics, methods=("saliency", "lrp")))


@pytest.fixture
def alone(make_grid):
    """A baseline by itself, and nothing to compare its maps with."""
    return results_of(*make_grid(NAMES[:1], level, metrics=["SSIM"]))
