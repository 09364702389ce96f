"""What interpretability is measured by, on made-up scores."""

import numpy as np
import pytest

from saq_eval.analysis import statistics
from saq_eval.analysis.interpretability import Composite, leave_one_out
from saq_eval.attribution import CONTROLS
from saq_eval.metrics import find_scorers
from tests.analysis.made import METRICS


def test_a_pair_is_sound_where_it_tells_maps_from_noise_and_from_random_weights(make_grid):
    means = {
        # FaithfulnessCorrelation tells them apart; of PixelFlipping lower is better; PointingGame is blind to weights.
        ("FaithfulnessCorrelation", "model"): 0.5,
        ("FaithfulnessCorrelation", "control"): 0.2,
        ("FaithfulnessCorrelation", "random"): 0.0,
        ("PixelFlipping", "model"): 0.3,
        ("PixelFlipping", "control"): 0.6,
        ("PixelFlipping", "random"): 0.9,
        ("PointingGame", "model"): 0.8,
        ("PointingGame", "control"): 0.8,
        ("PointingGame", "random"): 0.1,
    }

    def sound(means, names=("cnn-fp32", "cnn-fp32-s1"), quantized=None):
        def mean(role, method, metric, name):
            if method == "edges":
                return 0.0
            level = means[metric, method if method == "random" else role]
            return level if quantized is None or role == "control" or "w2a2" not in name else quantized

        grid, _ = make_grid(list(names), mean)
        pairs = Composite.of(grid).pairs
        return [(method, scorer.label) for method, scorers in pairs.items() for scorer in scorers]

    assert sound(means) == [("saliency", "FaithfulnessCorrelation"), ("saliency", "PixelFlipping")]
    blind_to_noise = means | {("FaithfulnessCorrelation", "random"): 0.5, ("PixelFlipping", "random"): 0.3}
    assert sound(blind_to_noise) == []
    assert sound(means | {("PixelFlipping", "control"): 0.1}) == [("saliency", "FaithfulnessCorrelation")]


def test_pairs_are_chosen_on_baselines_and_others_alike(make_grid):
    """What a pair says of baselines by chance alone is half the choice, not all of it."""

    def mean(role, method, metric, name):
        if method in CONTROLS or role == "control":
            return 0.0
        return 0.1 if "fp32" in name else -0.2

    grid, _ = make_grid(["cnn-fp32", "cnn-w2a2"], mean, metrics=METRICS[:1])
    assert Composite.of(grid).pairs == {}
    alone, _ = make_grid(["cnn-fp32"], mean, metrics=METRICS[:1])
    assert list(Composite.of(alone).pairs) == ["saliency"]


def test_interpretability_is_in_standard_deviations_and_methods_count_alike(make_grid):
    grid, _ = make_grid(["cnn-fp32", "cnn-w2a2"], lambda role, method, metric, name: 0.0, methods=("saliency", "lrp"))
    ours, theirs = grid.by_name["cnn-w2a2"], grid.by_name["cnn-fp32"]
    up, down = find_scorers(METRICS[:2])
    scales = {(m, s.label): 0.1 for m in ("saliency", "lrp") for s in (up, down)}
    composite = Composite({"saliency": (up, down), "lrp": (up,)}, scales, 1.0)
    (a, b), (c, d) = (
        [{scorer.label: grid.scores(s, m, scorer.label) for scorer in (up, down)} for s in (ours, theirs)]
        for m in ("saliency", "lrp")
    )
    first = ((a[up.label] - b[up.label]) / 0.1 - (a[down.label] - b[down.label]) / 0.1) / 2
    second = (c[up.label] - d[up.label]) / 0.1
    by_method = composite.differences(grid, ours, theirs)
    np.testing.assert_allclose(by_method, [first, second])
    np.testing.assert_allclose(composite.mean(by_method), (first + second) / 2)
    assert leave_one_out(by_method) == pytest.approx(tuple(sorted([first.mean(), second.mean()])))
    assert np.isnan(Composite({}, {}, 0.0).differences(grid, ours, theirs)).all()
    assert np.isnan(leave_one_out(by_method[:1])).all()


def test_a_baseline_whose_scores_do_not_vary_is_scaled_by_the_others(make_grid):
    grid, _ = make_grid(
        ["cnn-fp32", "cnn-fp32-s1", "cnn-w2a2"],
        lambda role, method, *_: 0.5 * (role == "model" and method == "saliency"),
        metrics=METRICS[:1],
    )
    grid.scores(grid.by_name["cnn-fp32"], "saliency", "FaithfulnessCorrelation")[:] = 0.5
    composite = Composite.of(grid)
    other = statistics.spread(grid.scores(grid.by_name["cnn-fp32-s1"], "saliency", "FaithfulnessCorrelation"))
    assert composite.scales["saliency", "FaithfulnessCorrelation"] == pytest.approx(other / np.sqrt(2))
    assert list(composite.pairs) == ["saliency"]
    assert not np.isnan(composite.differences(grid, grid.by_name["cnn-w2a2"], grid.by_name["cnn-fp32"])).any()
