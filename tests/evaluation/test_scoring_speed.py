import time

import numpy as np

from saq_eval.evaluation.scoring_speed import ScoringSpeed, measure_scoring
from saq_eval.metrics import METRICS, find_scorers


def measured(digits, *metrics):
    return measure_scoring(find_scorers(metrics), digits.subset(range(6)), outputs=10, batch_size=64, device="cpu")


def test_what_metrics_take_beside_passes_is_measured(digits):
    found = measured(digits, "Sparseness", "PixelFlipping", "EMD", "ROAD", "MaxSensitivity", "Focus")
    assert all(0 < speed.score < 0.1 for speed in found.values())
    assert found["EMD"].chance > 0 and found["Sparseness"].chance < 1e-5
    assert found["ROAD"].score > found["Sparseness"].score


def test_what_is_kept_for_a_task_does_not_hide_its_time(digits):
    """PixelFlipping's curve is kept while SymmetricRelevanceGain needs it."""
    found = measured(digits, "PixelFlipping")
    assert found["PixelFlipping"].score > 1e-5


def test_every_metric_is_measured_or_left_out(digits):
    quick = [
        name for name, metric in METRICS.items() if metric.category in ("complexity", "localisation", "randomisation")
    ]
    found = measured(digits, *quick)
    left_out = {label for label, speed in found.items() if speed == ScoringSpeed(0.0, 0.0)}
    assert left_out == {"MPRT", "SmoothMPRT", "EfficientMPRT"}  # there are no layers to randomise


def test_a_users_function_that_fails_here_is_left_out(digits):
    def mine(task):
        raise ValueError("no such network")

    def slow(task):
        end = time.thread_time() + 0.35
        while time.thread_time() < end:
            pass
        return np.zeros(len(task.maps))

    found = measured(digits, mine, slow)
    assert found["mine"] == ScoringSpeed(0.0, 0.0) and found["slow"].score > 0.35 / 64
