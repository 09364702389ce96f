"""The passes that metrics state, and those that they take."""

import numpy as np
import pytest
from torch import nn

from saq_eval import SaqEvalError
from saq_eval.core.randomness import deterministic
from saq_eval.metrics import METRICS, MetricPasses, find_scorer
from saq_eval.metrics.passes import together

IMAGES, SIDE, LAYERS = 8, 28, 2
SHAPE = (1, SIDE, SIDE)
TWO_ORDERS = ("FaithfulnessEstimate", "MonotonicityCorrelation", "Monotonicity", "PixelFlipping", "ROAD")
PATCHES = ("RegionPerturbation", "Selectivity")


class Counted(nn.Module):
    """A network that counts the images that it and its copies have passed."""

    passed = 0

    def __init__(self):
        super().__init__()
        self.inside = nn.Sequential(nn.Conv2d(1, 2, 5, stride=5), nn.Flatten(), nn.Linear(50, 10))

    def forward(self, images):
        Counted.passed += len(images)
        return self.inside(images)


@pytest.fixture(autouse=True)
def one_thread():
    """As comparisons have it; on a busy machine, small networks are slower on several threads."""
    with deterministic(threads=1):
        yield


@pytest.fixture
def count(make_task):
    """Score images by a metric; return the images passed and the maps explained, for each image."""
    explained = []

    def explain(network, images, targets, indices):
        explained.append(len(images))
        return np.random.default_rng(int(indices[0])).standard_normal((len(images), SIDE, SIDE)).astype(np.float32)

    def scored(name, maps, **fields):
        labels = np.arange(len(maps)) % 4
        fields = {"labels": labels, "targets": labels, "explain": explain} | fields
        task = make_task(Counted().eval(), maps, **fields)
        Counted.passed = 0
        explained.clear()
        scorer = find_scorer(name)
        scorer.score(task)
        scorer.chance(task)
        return Counted.passed / len(maps), sum(explained) / len(maps)

    return scored


@pytest.fixture
def draws():
    return np.random.default_rng(0)


@pytest.fixture
def maps(draws):
    """Maps without ties."""
    return draws.standard_normal((IMAGES, SIDE, SIDE)).astype(np.float32)


@pytest.fixture
def images(draws):
    """Images without a black pixel."""
    return (0.1 + 0.8 * draws.random((IMAGES, *SHAPE))).astype(np.float32)


def stated(name):
    passes = find_scorer(name).passes(SHAPE)
    return sum(passes.each.values()) + sum(passes.shared.values()), passes.explained(LAYERS)


@pytest.mark.parametrize("name", list(METRICS))
def test_a_metric_takes_the_passes_that_it_states(name, count, images, maps):
    few = slice(None if "mosaics" in METRICS[name].needs else 3)
    passed, explained = count(name, maps[few], images=images[few])
    expected = stated(name)
    if name == "IROF":  # SLIC finds fewer segments than are asked for
        assert 0.6 * expected[0] <= passed <= expected[0] and explained == 0
    elif "mosaics" in METRICS[name].needs:  # cells of several mosaics may be equal
        assert passed == 0 and 1 < explained <= expected[1] == 2
    else:
        assert (passed, explained) == expected


@pytest.mark.parametrize("name", [*TWO_ORDERS, "SymmetricRelevanceGain"])
def test_ties_cost_up_to_twice_as_many(name, count, images, maps):
    passed, _ = count(name, np.round(maps[:3]), images=images[:3])
    assert 1.8 * stated(name)[0] <= passed <= 2 * stated(name)[0]


@pytest.mark.parametrize("name", ["NonSensitivity", "Infidelity", *PATCHES, "PixelFlipping"])
def test_pixels_that_do_not_change_cost_less(name, count, images, maps):
    images[:, :, SIDE // 2 :] = 0
    passed, _ = count(name, maps[:3], images=images[:3])
    assert 0.4 * stated(name)[0] <= passed <= stated(name)[0]


@pytest.mark.parametrize("name", [name for name in METRICS if METRICS[name].category in ("complexity", "similarity")])
def test_metrics_that_read_maps_alone_take_none(name):
    assert find_scorer(name).passes((3, 224, 224)) == MetricPasses()


def test_passes_follow_from_parameters_and_the_images_size():
    def of(spec, shape=(3, 224, 224)):
        return find_scorer(spec).passes(shape)

    assert [*of("FaithfulnessCorrelation:nr_runs=7").shared.values()] == [8]
    assert [*of("PixelFlipping:features_in_step=1", (1, 28, 28)).each.values()] == [784]
    assert [*of("ROAD:percentage_step=20").each.values()] == [4]
    assert [*of("MaxSensitivity:nr_samples=3").maps.values()] == [3]
    assert of("SmoothMPRT:nr_samples=3").explained(layers=5) == 3 * (2 + 5)
    # 784 patches of 8 x 8, and the image itself with each hundred or so of them.
    assert 785 < sum(of("NonSensitivity").shared.values()) < 800


def test_what_metrics_share_is_counted_once():
    def of(*specs):
        passes = together(find_scorer(spec).passes((1, 28, 28)) for spec in specs)
        return sum(passes.each.values()), sum(passes.shared.values()), passes.explained(layers=1)

    assert of("PixelFlipping", "SymmetricRelevanceGain") == of("SymmetricRelevanceGain") == (28, 0, 0)
    assert of("PixelFlipping", "SymmetricRelevanceGain:fill=blur") == (14 + 28, 0, 0)
    assert of("RegionPerturbation", "Selectivity") == (50, 0, 0)
    assert of("FaithfulnessEstimate", "MonotonicityCorrelation") == (58, 0, 0)
    assert of("FaithfulnessCorrelation", "FaithfulnessCorrelation:fill=blur") == (0, 102, 0)
    assert of("Infidelity:patch_size=7", "NonSensitivity:patch_size=7") == of("Infidelity:patch_size=7") == (0, 17, 0)
    assert of("MaxSensitivity", "AvgSensitivity", "RelativeInputStability", "RelativeOutputStability") == (0, 11, 10)
    assert of("MaxSensitivity", "AvgSensitivity:nr_samples=5") == (0, 0, 15)
    assert of("Focus", "MosaicPointing", "MosaicMass") == (0, 0, 2)


def test_metrics_that_share_passes_take_them_once(count, images, maps, make_task):
    task = make_task(Counted().eval(), maps[:3], images=images[:3])
    Counted.passed = 0
    for name in ("PixelFlipping", "SymmetricRelevanceGain", "RegionPerturbation", "Selectivity"):
        find_scorer(name).score(task)
    assert Counted.passed == 3 * (28 + 50)


def test_a_function_of_the_user_may_state_its_passes():
    def mine(task):
        return task.maps[:, 0, 0]

    assert find_scorer(mine).passes(SHAPE) is None
    mine.passes = 3
    assert find_scorer(mine).passes(SHAPE) == MetricPasses(each={"mine": 3})
    mine.passes = "many"
    with pytest.raises(SaqEvalError, match="the passes of the metric mine are a whole number from 0, not 'many'"):
        find_scorer(mine)
