"""The metrics of Quantus, and their scores of some digits by two networks of the zoo."""

import dataclasses

import numpy as np
import pytest
import torch

from saq_eval import explain, load_model
from saq_eval.metrics import METRICS, find_scorer

COUNT = 9
METHOD = "input_x_gradient"
# The second does what Quantus does, faster.
MODULES = ("saq_eval.metrics.quantus.", "saq_eval.metrics.road")
NAMES = [name for name, metric in METRICS.items() if metric.declares.__module__.startswith(MODULES)]
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


@pytest.fixture(scope="session")
def noise():
    """A method for `Task.explain`: noise that depends on the image's index alone."""

    def draw(network, images, targets, indices):
        return np.stack([np.random.default_rng(int(index)).random((28, 28)) for index in indices]).astype(np.float32)

    return draw


@pytest.fixture
def noisy(task, noise):
    """The task, explained by noise."""
    return dataclasses.replace(task, maps=noise(None, None, None, task.indices), explain=noise, batch_size=4)


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
