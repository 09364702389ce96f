"""What is said of a comparison before it runs, and what it takes when it runs."""

import numpy as np
import pytest
import torch
from torch import nn

import saq_eval
from saq_eval import SaqEvalError
from saq_eval.core.randomness import deterministic
from saq_eval.evaluation.plan import Plan
from saq_eval.evaluation.setup import set_up

METRICS = [
    "FaithfulnessCorrelation:nr_runs=5",
    "PixelFlipping:features_in_step=16",
    "MaxSensitivity:nr_samples=2",
    "SSIM",
]
IMAGES, SIDE = 6, 12
TEST_SET = 20


@pytest.fixture(autouse=True)
def one_thread():
    with deterministic(threads=1):
        yield


def network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 100, 2)).eval()


@pytest.fixture(scope="module")
def asked():
    """Two networks, and pictures without a black pixel; a map by one method has no ties."""
    pixels = 0.1 + 0.8 * np.random.default_rng(0).random((TEST_SET, 1, SIDE, SIDE), dtype=np.float32)
    given = {"models": {"a": network(0), "b": network(1)}, "baseline": "a", "methods": ["saliency", "occlusion"]}
    return {
        "dataset": (pixels, np.arange(TEST_SET) % 2),
        "metrics": METRICS,
        "samples": IMAGES,
        "progress": False,
    } | given


@pytest.fixture
def passed(monkeypatch):
    """Count the images that pass convolutions: forward alone, and forward and backward."""
    counts = {"forward": 0, "backward": 0}
    original = nn.Conv2d.forward

    def counted(layer, images):
        counts["backward" if torch.is_grad_enabled() else "forward"] += len(images)
        return original(layer, images)

    monkeypatch.setattr(nn.Conv2d, "forward", counted)
    return counts


@pytest.mark.filterwarnings("ignore")
def test_the_passes_of_a_run_are_those_that_were_said(asked, passed, tmp_path):
    cost = saq_eval.estimate(**asked)
    passed |= {"forward": 0, "backward": 0}
    set_up(Plan(**asked), tmp_path)
    before = dict(passed)
    saq_eval.compare(**asked)
    took = {name: passed[name] - 2 * before[name] for name in passed}
    # Edges and occlusion give some tied pixels, whose order is taken both ways.
    assert cost.forward <= took["forward"] <= 1.1 * cost.forward
    # Before it explains, a method tries the network on an image or two, which counts while there are six.
    assert cost.backward <= took["backward"] <= 1.2 * cost.backward


@pytest.fixture(scope="module")
def finished(asked, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "output"
    before = saq_eval.estimate(**asked, output=folder)
    assert not folder.exists()  # nothing is written
    saq_eval.compare(**asked, output=folder)
    return folder, before


@pytest.mark.filterwarnings("ignore")
def test_cells_and_maps_are_those_of_the_run(asked, finished):
    folder, before = finished
    assert (before.networks, before.methods, before.metrics, before.images) == (3, 4, 4, IMAGES)
    files = {kind: [*(folder / "store" / kind).rglob("*.safetensors")] for kind in ("cells", "maps")}
    assert before.missing == before.cells == len(files["cells"]) and before.stored == 0
    assert before.maps == len(files["maps"])
    every = (folder / "store").rglob("*.safetensors")
    blocks = sum(-(-path.stat().st_size // 4096) * 4096 for path in every)
    assert 0.8 * blocks <= before.bytes <= 1.25 * blocks
    assert before.notes == () and before.seconds > 0 and before.workers == 1


@pytest.mark.filterwarnings("ignore")
def test_what_the_store_holds_is_not_counted(asked, finished):
    folder, before = finished
    after = saq_eval.estimate(**asked, output=folder)
    assert (after.stored, after.missing, after.maps, after.bytes, after.backward) == (before.cells, 0, 0, 0, 0)
    assert after.forward == after.backward == after.bytes == 0
    fresh = saq_eval.estimate(**asked, output=folder, fresh=True)
    assert (fresh.stored, fresh.forward, fresh.backward) == (0, before.forward, before.backward)


@pytest.mark.filterwarnings("ignore")
def test_a_further_metric_costs_its_own_cells(asked, finished):
    folder, before = finished
    more = saq_eval.estimate(**asked | {"metrics": [*METRICS, "Sparseness"]}, output=folder)
    cells = 2 * 4 + 2  # two networks by two methods and two controls, and the network with random weights
    assert (more.missing, more.stored, more.maps, more.backward) == (cells, before.cells, 0, 0)


@pytest.mark.filterwarnings("ignore")
def test_classes_that_are_not_known_yet_are_said_not_to_be(asked, tmp_path):
    given = asked | {"target": "predicted", "output": tmp_path / "output", "metrics": ["SSIM"], "accuracy_on": 4}
    before = saq_eval.estimate(**given)
    assert before.stored == 0 and "target 'predicted'" in before.notes[0]
    saq_eval.compare(**given)
    after = saq_eval.estimate(**given)
    assert (after.missing, after.maps, after.notes) == (0, 0, ())


@pytest.mark.filterwarnings("ignore")
def test_what_is_not_known_is_said(asked):
    def mine(task):
        return task.maps.mean(axis=(1, 2))

    cost = saq_eval.estimate(**asked | {"metrics": [mine, "PixelFlipping:features_in_step=16"], "engine": "quantus"})
    assert "the passes of mine are not known and not counted" in cost.notes[0]
    assert "Quantus itself takes more" in cost.notes[1]


@pytest.mark.filterwarnings("ignore")
def test_networks_without_gradients_have_holes_and_no_surrogate_gap(asked):
    networks = {
        name: (lambda images, module=module: module(images).detach()) for name, module in asked["models"].items()
    }
    cost = saq_eval.estimate(**asked | {"models": networks, "metrics": ["SSIM"]})
    # Occlusion, with and without noise, random of each, and edges once; there are no networks with random weights.
    assert (cost.cells, cost.maps, cost.backward) == (2, 2 * 2 + 2 + 1, 0)


def test_two_workers_take_less(asked):
    one, two = (saq_eval.estimate(**asked | {"workers": workers, "metrics": ["SSIM"]}) for workers in (1, 2))
    assert two.workers == 2 and two.forward == one.forward


def test_a_folder_that_is_no_store_is_refused(asked, tmp_path):
    (tmp_path / "letter.txt").write_text("Dear reader")
    with pytest.raises(SaqEvalError, match="is no store"):
        saq_eval.estimate(**asked, store=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
