"""Tasks for the native metrics: digits by trained networks, colour images, and maps of all kinds."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from saq_eval import explain, load_model
from saq_eval.metrics import METRICS, find_scorer

NAMES = [name for name, metric in METRICS.items() if metric.by_quantus is not None]
WITH_FILL = [name for name in NAMES if "fill" in find_scorer(name).parameters]
# Small parameters, so that the tests are quick.
PARAMETERS = {
    "FaithfulnessCorrelation": "nr_runs=10",
    "IROF": "segments=9",
    **dict.fromkeys(("LocalLipschitzEstimate", "MaxSensitivity", "AvgSensitivity"), "nr_samples=3"),
    **dict.fromkeys(("RelativeInputStability", "RelativeOutputStability"), "nr_samples=3"),
    "Continuity": "nr_steps=4",
}
FOR_DIGITS = {
    **dict.fromkeys(("FaithfulnessEstimate", "MonotonicityCorrelation", "PixelFlipping"), "features_in_step=112"),
    **dict.fromkeys(("RegionPerturbation", "Selectivity", "Infidelity"), "patch_size=7"),
}
DEGENERATE = [2, 5]  # the maps of `kinds` that are degenerate


def both(name, task, **parameters):
    """Return a metric's scores and curves, natively and by Quantus."""
    small = PARAMETERS | (FOR_DIGITS if task.images.shape[1:] == (1, 28, 28) else {})
    given = [small[name]] if name in small else []
    given += [f"{key}={value}" for key, value in parameters.items()]
    spec = f"{name}:{','.join(given)}" if given else name
    return [find_scorer(spec, engine).score(task) for engine in ("native", "quantus")]


def kinds(maps):
    """Return seven maps of different kinds, from seven maps (7, h, w) of a method."""
    maps = maps.copy()
    draws = np.random.default_rng(0)
    maps[1] = draws.normal(size=maps.shape[1:])  # no ties
    maps[2] = 0.0
    maps[3] *= draws.random(maps.shape[1:]) < 0.3  # many zeros
    maps[4] = draws.integers(-2, 3, size=maps.shape[1:])  # many ties, of all values
    maps[5] = np.nan
    maps[6] = -np.abs(draws.integers(1, 9, size=maps.shape[1:]))  # no positive value
    return maps


@pytest.fixture(scope="module", params=["cnn-fp32", "cnn-w2a2"])
def network(request):
    return load_model("digits", request.param).network


@pytest.fixture
def task(network, digits, make_task):
    maps = explain("input_x_gradient", network, digits.images[:7], digits.labels[:7]).numpy()
    others = explain("saliency", network, digits.images[:7], digits.labels[:7]).numpy()
    return make_task(network, kinds(maps), baseline_maps=others, batch_size=3)


@pytest.fixture(params=[(3, 12, 12), (1, 8, 20), (3, 12, 6)], ids=str)
def other_images(request, make_task):
    """Colour images and images that are not square, by a network with random weights."""
    channels, height, width = request.param
    layers = (nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * height * width, 5))
    network = nn.Sequential(*layers).eval()
    images, labels = torch.rand(7, *request.param), torch.arange(7) % 5
    images[:, :, : height // 3] = 0
    images[:, 0, -2:, -2:] = 0  # black in one channel
    masks = np.zeros((7, 1, height, width), dtype=bool)
    masks[..., height // 2 :, : width // 2] = True
    return make_task(
        network,
        kinds(explain("input_x_gradient", network, images, labels).numpy()),
        baseline_maps=explain("saliency", network, images, labels).numpy(),
        images=images.numpy(),
        labels=labels.numpy(),
        targets=labels.numpy(),
        masks=masks,
        batch_size=3,
    )


class Turned(nn.Module):
    """A network that first turns images by 180°."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.eval()

    def forward(self, images):
        return self.network(images.flip(2, 3))


def turned(task):
    """Return the task with network, images, masks and maps turned by 180°."""
    fields = ("images", "masks", "maps", "baseline_maps")
    arrays = {field: np.ascontiguousarray(getattr(task, field)[..., ::-1, ::-1]) for field in fields}
    return dataclasses.replace(task, network=Turned(task.network), **arrays)
