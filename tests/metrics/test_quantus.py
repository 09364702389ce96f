"""Each score against the paper's definition or a direct Quantus call, and what the adapter settles on top of it."""

import dataclasses
import logging
import math
import warnings

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr
from skimage.filters import gaussian
from torch import nn

from saq_eval import SaqEvalError, explain, load_model
from saq_eval.attribution.perturbation import superpixels
from saq_eval.core.randomness import derived_seed
from saq_eval.metrics import METRICS, metric_sets
from saq_eval.metrics.base import find_scorer
from saq_eval.metrics.quantus import quantus

COUNT = 9
METHOD = "input_x_gradient"
MODULES = ("saq_eval.metrics.quantus", "saq_eval.metrics.road")  # the second does what Quantus does, faster
NAMES = [name for name, metric in METRICS.items() if metric.declares.__module__ in MODULES]
# Small parameters, so that the tests are quick.
PARAMETERS = {
    "FaithfulnessCorrelation": "nr_runs=10",
    "LocalLipschitzEstimate": "nr_samples=3",
    "MaxSensitivity": "nr_samples=3",
    "AvgSensitivity": "nr_samples=3",
    "Continuity": "nr_steps=4",
    "RelativeInputStability": "nr_samples=3",
    "RelativeOutputStability": "nr_samples=3",
    "RelativeRepresentationStability": "nr_samples=3",
    "SmoothMPRT": "nr_samples=3",
    "ROAD": "percentage_step=25",
}
WITH_FILL = [name for name in NAMES if "fill" in find_scorer(name).parameters]
RANDOM = [name for name in NAMES if METRICS[name].random]


def scorer(name, **parameters):
    given = [PARAMETERS[name]] if name in PARAMETERS else []
    given += [f"{key}={value}" for key, value in parameters.items()]
    return find_scorer(f"{name}:{','.join(given)}" if given else name)


def score(name, task, **parameters):
    return scorer(name, **parameters).score(task)[0]


@pytest.fixture(scope="module", params=["cnn-fp32", "cnn-w2a2"])
def network(request):
    return load_model("digits", request.param).network


@pytest.fixture(scope="module")
def maps(network, digits):
    return explain(METHOD, network, digits.images[:COUNT], digits.labels[:COUNT]).numpy()


@pytest.fixture
def task(network, maps, make_task):
    return make_task(network, maps)


@pytest.fixture(scope="module")
def known(network):
    """Scores of the task as it is, by metric: most tests compare with them."""
    return {}


@pytest.fixture
def whole(task, known):
    def scores(name):
        if name not in known:
            known[name] = scorer(name).score(task)
        return known[name][0]

    return scores


def taken(task, positions):
    """Return the task of some of its images."""
    per_image = ("images", "labels", "targets", "masks", "maps", "baseline_maps", "indices")
    return dataclasses.replace(task, **{field: getattr(task, field)[positions].copy() for field in per_image})


def close(ours, expected):
    """Compare scores that may differ as a network's single and batched passes do in single precision."""
    np.testing.assert_allclose(ours, expected, rtol=2e-3, atol=1e-4)


def outputs(task, images, probabilities):
    """Return the network's outputs for images (n, c, h, w), of the class that each map explains, float64 (n,)."""
    with torch.no_grad():
        logits = task.network(torch.from_numpy(np.asarray(images, dtype=np.float32)))
    return (logits.softmax(dim=1) if probabilities else logits).numpy().astype(np.float64)


# Against the papers' definitions


def test_faithfulness_correlation_as_published(task, whole):
    for position, index in enumerate(task.indices):
        draws = np.random.RandomState(derived_seed(0, "FaithfulnessCorrelation", int(index)))
        image, target, relevance = task.images[position], task.targets[position], task.maps[position].reshape(-1)
        subsets = [draws.choice(784, 56, replace=False) for _ in range(10)]
        hidden = np.stack([image.reshape(-1)] * 10)
        for row, subset in zip(hidden, subsets, strict=True):
            row[subset] = 0
        drops = outputs(task, image[None], False)[0, target] - outputs(task, hidden.reshape(-1, 1, 28, 28), False)
        sums = [relevance[subset].sum() for subset in subsets]
        close(whole("FaithfulnessCorrelation")[position], pearsonr(sums, drops[:, target]).statistic)


def flipped(task, position, hidden, last_first, step=56):
    """Return the class' probability after each step of hiding pixels, most relevant first, tied ones by position."""
    image, target = task.images[position].reshape(-1).copy(), task.targets[position]
    curve = []
    order = np.lexsort((np.arange(784) * (-1 if last_first else 1), -task.maps[position].reshape(-1)))
    for start in range(0, 784, step):
        image[order[start : start + step]] = hidden.reshape(-1)[order[start : start + step]]
        curve.append(outputs(task, image.reshape(1, 1, 28, 28), True)[0, target])
    return curve


@pytest.mark.parametrize("fill", ["black", "mean", "blur"])
def test_pixel_flipping_as_published(task, fill):
    area, curves = scorer("PixelFlipping", fill=fill).score(task)
    assert curves.shape == (COUNT, 14) and curves.dtype == np.float64
    for position, (image,) in enumerate(task.images):
        hidden = {
            "black": np.zeros((28, 28)),
            "mean": np.full((28, 28), image.mean()),
            "blur": gaussian(image, sigma=4, mode="nearest"),
        }[fill]
        expected = np.mean([flipped(task, position, hidden, last_first) for last_first in (False, True)], axis=0)
        close(curves[position], expected)
        close(area[position], (np.sum(expected) - (expected[0] + expected[-1]) / 2) / 13)


def test_complexity_as_published(task, whole):
    for position in range(COUNT):
        relevance = np.sort(np.abs(task.maps[position].astype(np.float64)).reshape(-1))
        pairs = np.abs(relevance[:, None] - relevance[None])
        close(whole("Sparseness")[position], pairs.sum() / (2 * 784 * relevance.sum()))  # Gini, by its definition
        share = relevance[relevance > 0] / relevance.sum()
        close(whole("Complexity")[position], -(share * np.log(share)).sum())
        close(whole("EffectiveComplexity")[position], (relevance > 0.1 * relevance.max()).mean())


def test_completeness_as_published(task, make_task, maps):
    drops = outputs(task, task.images, False) - outputs(task, np.zeros_like(task.images), False)
    drops = drops[np.arange(COUNT), task.targets]
    for error, expected in ((0.0, 1), (0.04, 1), (-0.04, 1), (0.06, 0), (-0.06, 0)):
        sums = drops * (1 + error)
        scaled = maps - maps.mean(axis=(1, 2), keepdims=True) + (sums / 784)[:, None, None]
        assert (score("Completeness", make_task(task.network, scaled.astype(np.float32))) == expected).all()
        assert (score("Completeness", make_task(task.network, scaled), tolerance=0.1) == 1).all()


def test_monotonicity_as_published(task, whole):
    for position in range(COUNT):
        image, shown, curve = task.images[position].reshape(-1), np.zeros(784, np.float32), []
        order = np.argsort(np.abs(task.maps[position].astype(np.float64)).reshape(-1))
        for start in range(0, 784, 112):
            shown[order[start : start + 112]] = image[order[start : start + 112]]
            curve.append(outputs(task, shown.reshape(1, 1, 28, 28), True)[0, task.targets[position]])
        assert whole("Monotonicity")[position] == (np.diff(curve) >= 0).all()


def test_monotonicity_tells_maps_apart(digits, make_task):
    network = load_model("digits", "cnn-fp32").network
    maps = explain("integrated_gradients", network, digits.images[:64], digits.labels[:64]).numpy()
    noise = explain("random", network, digits.images[:64], digits.labels[:64]).numpy()
    assert (
        score("Monotonicity", make_task(network, maps)).mean() > score("Monotonicity", make_task(network, noise)).mean()
    )


def test_infidelity_is_the_published_error_after_the_best_scaling(task, whole, make_task):
    for position in range(COUNT):
        image, target = task.images[position, 0], task.targets[position]
        sums, drops = [], []
        for row in range(0, 28, 4):
            for column in range(0, 28, 4):
                hidden = image.copy()
                hidden[row : row + 4, column : column + 4] = 0
                sums.append(task.maps[position, row : row + 4, column : column + 4].sum())
                drops.append(outputs(task, hidden[None, None], False)[0, target])
        drops = outputs(task, image[None, None], False)[0, target] - np.array(drops)
        factor = np.linalg.lstsq(np.array(sums)[:, None], drops, rcond=None)[0]
        expected = ((drops - factor * sums) ** 2).sum() / (drops**2).sum()
        assert whole("Infidelity")[position] == pytest.approx(expected, rel=1e-3, abs=1e-4)
    close(score("Infidelity", make_task(task.network, 100 * task.maps)), whole("Infidelity"))


def test_irof_as_published(task, whole):
    for position in range(3):
        areas = []
        for turn in (slice(None), slice(None, None, -1)):
            image, relevance = task.images[position][:, turn, turn].copy(), task.maps[position][turn, turn]
            segments = superpixels(torch.from_numpy(image[None]), 50)[0, 0].numpy()
            means = [relevance[segments == segment].mean() for segment in range(segments.max() + 1)]
            before = outputs(task, image[None, :, turn, turn].copy(), True)[0, task.targets[position]]
            curve = []
            for segment in np.argsort(-np.array(means), kind="stable"):
                image[:, segments == segment] = 0
                curve.append(outputs(task, image[None, :, turn, turn].copy(), True)[0, task.targets[position]] / before)
            areas.append(1 - np.trapezoid(curve) / (len(curve) - 1))
        assert whole("IROF")[position] == pytest.approx(np.mean(areas), abs=1e-3)


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
# Quantus' own answer is of no use: other tests have the definition.
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
        np.random.seed(derived_seed(0, name, int(index)))
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


# What Quantus gets wrong


def test_road_scores_the_images_past_the_first_batch(task):
    wrong = dataclasses.replace(task, targets=np.where(np.arange(COUNT) < 6, task.targets, (task.targets + 1) % 10))
    for batch_size in (3, 64):
        _, curves = find_scorer("ROAD:noise=0").score(dataclasses.replace(wrong, batch_size=batch_size))
        assert curves.shape == (COUNT, 9) and set(np.unique(curves)) <= {0.0, 1.0}
        _, right = find_scorer("ROAD:noise=0").score(task)
        np.testing.assert_array_equal(curves[:6], right[:6])
        assert (curves[6:] + right[6:] <= 1).all()  # two classes are not predicted at once


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


# Metrics that explain


def test_random_methods_see_the_same_noise_again(task):
    def noise(network, images, targets, indices):
        return np.stack([np.random.default_rng(int(index)).random((28, 28)) for index in indices]).astype(np.float32)

    noisy = dataclasses.replace(task, maps=noise(None, None, None, task.indices), explain=noise, batch_size=4)
    for name in ("MaxSensitivity", "AvgSensitivity", "LocalLipschitzEstimate", "Continuity", "RelativeInputStability"):
        np.testing.assert_allclose(score(name, noisy), 0, atol=1e-9)
    for name in ("MPRT", "RandomLogit"):
        np.testing.assert_allclose(score(name, noisy), 1)


def test_random_logit_explains_other_classes(task):
    asked = []

    def remember(network, images, targets, indices):
        asked.extend(targets)
        return task.explain(network, images, targets, indices)

    score("RandomLogit", dataclasses.replace(task, explain=remember))
    assert len(asked) == COUNT and (np.array(asked) != task.targets).all() and len(set(asked)) > 2


def test_randomisation_reaches_all_weights_and_spares_the_network(task):
    before = {name: tensor.detach().clone() for name, tensor in task.network.named_parameters()}
    last = {}

    def remember(network, images, targets, indices):
        last.update({name: tensor.detach().clone() for name, tensor in network.named_parameters()})
        return task.explain(network, images, targets, indices)

    for name in ("MPRT", "EfficientMPRT", "SmoothMPRT"):
        score(name, dataclasses.replace(task, explain=remember))
        changed = {key for key in before if not torch.equal(before[key], last[key])}
        assert changed == {key for key in before if "alpha" not in key}
        assert all(torch.equal(before[key], tensor) for key, tensor in task.network.named_parameters())


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


def test_sets():
    sets = metric_sets()
    assert [*sets] == ["quick", "standard", "full"]
    hiding = {spec.partition(":")[0] for spec in sets["standard"]} & {*WITH_FILL, "SymmetricRelevanceGain"}
    assert hiding and all({name, f"{name}:fill=blur"} <= {*sets["standard"]} for name in hiding)
    for spec in (*sets["quick"], *sets["standard"]):
        if spec.partition(":")[0] in METRICS:
            assert find_scorer(spec).label == spec
