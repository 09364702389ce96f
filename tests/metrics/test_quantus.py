"""Each score against a direct Quantus call, and what the adapter settles on top of it."""

import warnings

import numpy as np
import pytest

from saq_eval import explain, freeze, quantize
from saq_eval.metrics import METRICS
from saq_eval.metrics.quantus import quantus
from saq_eval.randomness import derived_seed

NAMES = [name for name, metric in METRICS.items() if metric.category != "similarity"]
SETTINGS = {
    "FaithfulnessCorrelation": {"nr_runs": 100, "subset_size": 56, "perturb_baseline": 0.0},
    "FaithfulnessEstimate": {"features_in_step": 28, "perturb_baseline": 0.0},
    "PixelFlipping": {"features_in_step": 56, "perturb_baseline": 0.0, "return_auc_per_sample": True},
    "PointingGame": {},
    "RelevanceRankAccuracy": {},
    "RelevanceMassAccuracy": {},
}


@pytest.fixture(scope="module", params=["fp32", "w2a2"])
def scheme(request):
    return request.param


@pytest.fixture
def network(cnn, scheme):
    return freeze(quantize(cnn, scheme))


@pytest.fixture
def task(network, digits, make_task):
    maps = explain("input_x_gradient", network, digits.images[:10], digits.labels[:10])
    return make_task(network, maps.numpy())


@pytest.mark.parametrize("name", NAMES)
def test_scores_equal_a_direct_call(name, task):
    ours = METRICS[name].score(task)
    assert ours.shape == (10,) and np.isfinite(ours).all()
    for position in range(10):
        np.random.seed(derived_seed(0, name, int(task.indices[position])))
        one = slice(position, position + 1)
        maps = task.maps[one] if METRICS[name].category == "faithfulness" else np.abs(task.maps[one])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            metric = getattr(quantus, name)(
                abs=False, normalise=False, disable_warnings=True, return_aggregate=False, **SETTINGS[name]
            )
            (direct,) = metric(
                model=task.network,
                x_batch=task.images[one],
                y_batch=task.targets[one],
                a_batch=maps[:, None],
                s_batch=task.masks[one],
                softmax=name == "PixelFlipping",
                channel_first=True,
                device="cpu",
            )
        expected = direct / 13 if name == "PixelFlipping" else float(direct)  # 14 points: 13 intervals
        assert ours[position] == pytest.approx(expected, abs=2e-5), name


@pytest.mark.parametrize("name", NAMES)
def test_scores_do_not_depend_on_the_batch(name, task, network, make_task):
    whole = METRICS[name].score(task)
    for batch_size in (1, 7):
        again = METRICS[name].score(make_task(network, task.maps, batch_size=batch_size))
        np.testing.assert_allclose(again, whole, atol=2e-5)


@pytest.mark.parametrize("name", NAMES)
def test_scores_lie_in_the_stated_range(name, task):
    low, high = METRICS[name].range
    scores = METRICS[name].score(task)
    assert (scores >= low).all() and (scores <= high).all()


@pytest.mark.parametrize("name", NAMES)
def test_degenerate_maps_are_not_scored_and_do_not_disturb_the_others(name, task, network, make_task):
    maps = task.maps.copy()
    maps[2], maps[5], maps[7] = 0.0, 3.0, np.nan
    scores = METRICS[name].score(make_task(network, maps))
    assert np.isnan(scores[[2, 5, 7]]).all()
    others = [0, 1, 3, 4, 6, 8, 9]
    np.testing.assert_allclose(scores[others], METRICS[name].score(task)[others], atol=2e-5)
    assert np.isnan(METRICS[name].score(make_task(network, np.zeros_like(maps)))).all()


def test_only_faithfulness_correlation_draws_at_random(task, network, make_task):
    other_seed = make_task(network, task.maps, seed=1)
    changed = [name for name in NAMES if not np.array_equal(METRICS[name].score(task), METRICS[name].score(other_seed))]
    assert changed == ["FaithfulnessCorrelation"]


def test_numpys_generator_is_left_alone(task):
    before, choice = np.random.get_state()[1].copy(), np.random.choice
    METRICS["FaithfulnessCorrelation"].score(task)
    assert (np.random.get_state()[1] == before).all() and np.random.choice is choice


def test_localisation_of_known_maps(network, make_task, digits):
    masks = digits.subset(np.arange(4)).masks().numpy()
    inside = masks[:, 0].astype(np.float32)
    half = np.full_like(inside, 1.0)
    half[:, 0, 0] = 1.0001  # the brightest pixel is in the corner, off the object
    for maps, pointing, mass in ((inside, 1.0, 1.0), (-inside, 1.0, 1.0), (half, 0.0, masks.mean(axis=(1, 2, 3)))):
        task = make_task(network, maps)
        np.testing.assert_array_equal(METRICS["PointingGame"].score(task), pointing)
        np.testing.assert_allclose(METRICS["RelevanceMassAccuracy"].score(task), mass, atol=1e-3)
    np.testing.assert_array_equal(METRICS["RelevanceRankAccuracy"].score(make_task(network, inside)), 1.0)


def test_localisation_is_undefined_where_there_is_no_object(task, network, make_task):
    masks = task.masks.copy()
    masks[3] = False
    emptied = make_task(network, task.maps, masks=masks)
    for name in NAMES[3:]:
        expected = METRICS[name].score(task)
        expected[3] = np.nan
        np.testing.assert_array_equal(METRICS[name].score(emptied), expected)
    assert np.isfinite(METRICS["PixelFlipping"].score(emptied)).all()


def test_directions():
    assert [METRICS[name].higher_is_better for name in NAMES] == [True, True, False, True, True, True]
    assert [METRICS[name].category for name in NAMES] == ["faithfulness"] * 3 + ["localisation"] * 3
