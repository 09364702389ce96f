"""Each score against a direct call of Quantus, and what the adapter settles for all metrics."""

import dataclasses
import logging
import math
import warnings

import numpy as np
import pytest
import quantus
import torch
from torch import nn

from saq_eval import SaqEvalError, explain, load_model
from saq_eval.core.randomness import derived_seed
from saq_eval.metrics import METRICS, find_scorer
from tests.metrics.quantus.conftest import COUNT, METHOD, NAMES, RANDOM, WITH_FILL, close, score, scorer, taken

# Against Quantus, asked for one image

STABILITY = {
    "nr_samples": 3,
    "perturb_func_kwargs": {"lower_bound": 0.1, "upper_bound": None},
    "eps_min": 0.01,
    "return_nan_when_prediction_changes": False,
}
DIRECT = {
    "FaithfulnessCorrelation": {"nr_runs": 10, "subset_size": 56, "perturb_baseline": 0.0},
    "FaithfulnessEstimate": {"features_in_step": 28, "perturb_baseline": 0.0},
    "MonotonicityCorrelation": {"features_in_step": 28, "nr_samples": 1, "perturb_baseline": 0.0, "abs": True},
    "PixelFlipping": {"features_in_step": 56, "perturb_baseline": 0.0},
    "RegionPerturbation": {"patch_size": 4, "perturb_baseline": 0.0},
    "Selectivity": {"patch_size": 4, "perturb_baseline": 0.0},
    "ROAD": {"percentages": [25, 50, 75], "noise": 0.01},
    "Sparseness": {"abs": True},
    "Complexity": {"abs": True},
    "EffectiveComplexity": {"abs": True, "eps": 0.1},
    "LocalLipschitzEstimate": {"nr_samples": 3, "perturb_std": 0.1},
    "MaxSensitivity": {"nr_samples": 3, "lower_bound": 0.1},
    "AvgSensitivity": {"nr_samples": 3, "lower_bound": 0.1},
    "Continuity": {"nr_steps": 4, "abs": False},
    "RelativeInputStability": STABILITY,
    "RelativeOutputStability": STABILITY,
    "RelativeRepresentationStability": STABILITY,
    "MPRT": {"seed": derived_seed(0, "MPRT"), "abs": False},
    "SmoothMPRT": {"seed": derived_seed(0, "SmoothMPRT"), "nr_samples": 3, "abs": False},
    "EfficientMPRT": {"seed": derived_seed(0, "EfficientMPRT")},
    "RandomLogit": {"num_classes": 10, "similarity_func": quantus.similarity_func.correlation_spearman},
}
# These share their noise, whose seed does not have the metric's name.
DRAWS = dict.fromkeys(
    ("MaxSensitivity", "AvgSensitivity", "RelativeInputStability", "RelativeOutputStability"), "uniform noise"
)
# Quantus' own answer is of no use: the tests of the category have the definition.
BY_DEFINITION = {"Monotonicity", "Infidelity", "IROF", "Completeness"}
PROBABILITIES = {"MonotonicityCorrelation", "PixelFlipping", "RegionPerturbation", "Selectivity", "EfficientMPRT"}


def test_every_metric_is_checked():
    assert {*DIRECT} | BY_DEFINITION == {*NAMES}


def answer(name, found):
    """Return a score, or curve, from what Quantus answers for one image."""
    if name in ("MPRT", "SmoothMPRT"):
        return np.mean([value for layer, value in found.items() if layer != "original"])
    if name == "ROAD":
        return [*found.values()]
    return {
        "EffectiveComplexity": lambda value: value / 784,
    }.get(name, lambda value: value)(np.asarray(found[0], dtype=float))


@pytest.mark.parametrize("name", DIRECT)
def test_scores_equal_a_direct_call(name, task, whole, known, monkeypatch):
    smooth = name == "SmoothMPRT"

    def explained(model, inputs, targets, index, **_):
        network = model[0] if isinstance(model, nn.Sequential) else model
        images = torch.from_numpy(inputs.astype(np.float32))
        found = explain(METHOD, network, images, torch.from_numpy(targets), indices=[index]).numpy().astype(float)
        return found[:, None] if smooth else found[:, None] / (np.abs(found).max() or 1)

    whole(name)
    scores, curves = known[name]
    for position, index in enumerate(task.indices[:4]):
        one = slice(position, position + 1)
        arguments = {"abs": False, "normalise": False, "return_aggregate": False, "disable_warnings": True}
        if name == "RandomLogit":
            arguments["seed"] = derived_seed(0, name, int(index))
        network = nn.Sequential(task.network, nn.Softmax(dim=-1)).eval() if name in PROBABILITIES else task.network
        relevance = task.maps[one, None].astype(float)
        monkeypatch.setattr(quantus, "explain", explained)
        monkeypatch.setattr(quantus.helpers.asserts, "assert_attributions", lambda **_: None)  # of a black image's maps
        np.random.seed(derived_seed(0, DRAWS.get(name, name), int(index)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = getattr(quantus, name)(**arguments | DIRECT[name])(
                model=network,
                x_batch=task.images[one],
                y_batch=task.targets[one],
                a_batch=None if smooth else relevance / np.abs(relevance).max(),
                explain_func=explained,
                explain_func_kwargs={"index": int(index)},
                softmax=name in PROBABILITIES,
                channel_first=True,
                device="cpu",
            )
        close((scores if curves is None else curves)[position], answer(name, found))


# What holds for all


@pytest.mark.parametrize("name", NAMES)
def test_scores_depend_neither_on_the_batch_nor_on_the_order(name, task, whole):
    expected = whole(name)
    assert expected.shape == (COUNT,) and expected.dtype == np.float64
    for batch_size in (1, 7):
        close(score(name, dataclasses.replace(task, batch_size=batch_size)), expected)
    order = np.arange(COUNT)[::-1]
    close(score(name, taken(task, order)), expected[order])


@pytest.mark.parametrize("name", NAMES)
def test_scores_lie_in_the_stated_range(name, whole):
    low, high = METRICS[name].range
    assert np.isfinite(whole(name)).all()
    assert (whole(name) >= low).all() and (whole(name) <= high).all()


@pytest.mark.parametrize("name", NAMES)
def test_degenerate_maps_are_not_scored_and_do_not_disturb_the_others(name, task, whole, known):
    maps = task.maps.copy()
    maps[2], maps[5], maps[7] = 0.0, 3.0, np.nan
    scores = score(name, dataclasses.replace(task, maps=maps))
    assert np.isnan(scores[[2, 5, 7]]).all()
    others = [0, 1, 3, 4, 6, 8]
    close(scores[others], whole(name)[others])
    nothing, curves = scorer(name).score(dataclasses.replace(task, maps=np.zeros_like(maps)))
    assert np.isnan(nothing).all() and nothing.shape == (COUNT,)
    assert curves is None if known[name][1] is None else curves.shape == known[name][1].shape


@pytest.mark.parametrize("name", NAMES)
def test_maps_without_positive_values_are_scored(name, task):
    scores = score(name, dataclasses.replace(task, maps=-np.abs(task.maps) - 0.1))
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", NAMES)
def test_only_random_metrics_depend_on_the_seed(name, task, whole):
    with_another = score(name, dataclasses.replace(task, seed=1))
    assert np.array_equal(with_another, whole(name)) != (name in RANDOM) or name == "ROAD"  # whose noise may not matter


@pytest.mark.parametrize("name", NAMES)
def test_colour_images_are_scored(name, make_task):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 12 * 12, 5)).eval()
    images = torch.rand(3, 3, 12, 12)
    targets = torch.tensor([0, 1, 4])
    maps = explain(METHOD, network, images, targets).numpy()
    task = make_task(
        network,
        maps,
        images=images.numpy(),
        labels=targets.numpy(),
        targets=targets.numpy(),
        masks=maps[:, None] > np.median(maps),
    )
    assert np.isfinite(score(name, task)).all()
    assert np.isfinite(score(name, dataclasses.replace(task, batch_size=2))).all()


def test_nothing_else_is_changed(task, capfd):
    task = taken(task, np.arange(2))
    before = {field: getattr(task, field).copy() for field in ("images", "maps", "masks", "targets")}
    names = ("choice", "normal", "uniform", "randn")
    functions, argsort = [getattr(np.random, name) for name in names], np.argsort
    asserts, explains = quantus.helpers.asserts.assert_attributions, quantus.explain
    np.random.seed(3), torch.manual_seed(3)
    state, torch_state, handlers = np.random.get_state()[1].copy(), torch.get_rng_state(), [*logging.root.handlers]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in NAMES:
            score(name, task)
    with pytest.raises(ZeroDivisionError):
        score("MaxSensitivity", dataclasses.replace(task, explain=lambda *_: 1 / 0))
    assert (np.random.get_state()[1] == state).all() and torch.equal(torch.get_rng_state(), torch_state)
    assert [getattr(np.random, name) for name in names] == functions and np.argsort is argsort
    assert quantus.helpers.asserts.assert_attributions is asserts and quantus.explain is explains
    assert logging.root.handlers == handlers
    assert capfd.readouterr() == ("", "")
    kept = quantus.helpers.model.pytorch_model.PyTorchModel._get_last_softmax_layer_index.cache_info()
    assert kept.currsize == 0  # no network is kept alive
    assert all(np.array_equal(getattr(task, field), value) for field, value in before.items())


@pytest.mark.parametrize("name", [name for name in NAMES if METRICS[name].chance is not None])
def test_unrelated_maps_score_what_chance_says(name, digits, make_task):
    network = load_model("digits", "cnn-fp32").network
    noise = np.random.default_rng(0).random((60, 28, 28), dtype=np.float32)
    task = make_task(network, noise)
    scores, chance = score(name, task), scorer(name).chance(task)
    difference = scores - chance
    assert abs(difference.mean()) < 4 * difference.std() / math.sqrt(60) + 1e-9


@pytest.mark.parametrize("name", WITH_FILL)
def test_fills_are_those_of_the_methods(name, network, make_task, digits):
    # On an image of one colour, its mean and its blurred self are itself: hiding with them changes nothing.
    images = np.full((2, 1, 28, 28), 0.5, dtype=np.float32)
    maps = np.random.default_rng(0).random((2, 28, 28), dtype=np.float32)
    task = make_task(network, maps, images=images)
    black, mean, blur = (score(name, task, fill=fill) for fill in ("black", "mean", "blur"))
    np.testing.assert_allclose(mean, blur, atol=1e-4)
    if name not in ("Completeness", "IROF", "Monotonicity"):
        assert not np.allclose(black, mean, atol=1e-4, equal_nan=True)


# Declarations


@pytest.mark.parametrize(
    "spec, message",
    [
        ("PixelFlipping:features_in_step=50", "does not divide the 784 pixels of a 28x28 image; 49 or 56 would"),
        ("RegionPerturbation:patch_size=8", "patch_size=8 does not divide a 28x28 image; 1, 2, 4, 7, 14 would"),
        ("FaithfulnessCorrelation:subset_size=784", "subset_size=784 is not below the 784 pixels"),
        ("Continuity:nr_steps=58", "nr_steps=58 is more than the 57 positions"),
    ],
)
def test_parameters_that_do_not_fit_the_image(spec, message, task):
    with pytest.raises(SaqEvalError, match=message):
        find_scorer(spec).score(task)


@pytest.mark.parametrize("spec", ["ROAD:percentage_step=50", "PixelFlipping:fill=uniform", "PointingGame:weighted=1"])
def test_parameters_that_no_image_fits(spec):
    with pytest.raises(SaqEvalError):
        find_scorer(spec)


def test_settings_say_what_the_size_chose():
    assert find_scorer("FaithfulnessCorrelation:fill=blur").settings((1, 28, 28)) == {
        "nr_runs": find_scorer("FaithfulnessCorrelation").parameters["nr_runs"],
        "subset_size": 56,
        "fill": "blur",
        "reads": "signed maps and logits",
    }
    assert find_scorer("PixelFlipping").settings((3, 32, 32))["features_in_step"] == 64
    assert find_scorer("Selectivity").settings((3, 32, 32))["patch_size"] == 4


@pytest.mark.parametrize("name", NAMES)
def test_declarations_are_whole(name):
    metric = METRICS[name]
    assert metric.description.endswith(".") and any(where in metric.reference for where in ("arXiv", "doi"))
    assert ("explanations" in metric.needs) == (metric.category in ("robustness", "randomisation"))


def test_directions():
    lower = {name for name in NAMES if not METRICS[name].higher_is_better}
    assert lower == {
        *("PixelFlipping", "Selectivity", "Infidelity", "ROAD", "Complexity", "EffectiveComplexity"),
        *("LocalLipschitzEstimate", "MaxSensitivity", "AvgSensitivity", "Continuity"),
        *("RelativeInputStability", "RelativeOutputStability", "RelativeRepresentationStability"),
        *("MPRT", "SmoothMPRT", "RandomLogit"),
    }
