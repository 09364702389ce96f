import dataclasses
import functools

import numpy as np
import pytest

from saq_eval.core.randomness import derived_seed
from saq_eval.metrics import find_scorer
from saq_eval.metrics.base import Scorer
from saq_eval.networks import memory
from tests.metrics.native.conftest import DEGENERATE

SHARING = ("MaxSensitivity", "AvgSensitivity", "RelativeInputStability", "RelativeOutputStability")
USABLE = np.delete(np.arange(7), DEGENERATE)


def scorer(name) -> Scorer:
    return find_scorer(f"{name}:nr_samples=3")


@pytest.fixture
def recorded(task):
    """The task, and the indices of the images of each call of its `explain`."""
    calls = []

    def explain(network, images, targets, indices):
        calls.append(indices.tolist())
        return task.explain(network, images, targets, indices)

    return dataclasses.replace(task, explain=explain, batch_size=64), calls


def test_noise_is_explained_once_in_one_call(recorded):
    task, calls = recorded
    for name in SHARING:
        scorer(name).score(task)
    assert calls == [np.repeat(USABLE, 3).tolist()]
    find_scorer("MaxSensitivity:nr_samples=3,lower_bound=0.2").score(task)
    scorer("LocalLipschitzEstimate").score(task)
    assert len(calls) == 3


def test_scores_are_the_same_in_parts(recorded, monkeypatch):
    task, calls = recorded
    whole = {name: scorer(name).score(task)[0] for name in (*SHARING, "LocalLipschitzEstimate")}
    calls.clear()
    monkeypatch.setattr(memory, "BUDGET", 64 * 3 * 784 * 2)  # two images
    for name, expected in whole.items():
        np.testing.assert_allclose(scorer(name).score(dataclasses.replace(task))[0], expected, rtol=1e-4)
    assert {len(call) for call in calls} == {6, 3}


def test_sensitivity_as_published(task):
    """Against Yeh et al. 2019, with the draws that the package's documentation states."""
    scores = {name: scorer(name).score(task)[0] for name in SHARING[:2]}
    for position in USABLE:
        draws = np.random.RandomState(derived_seed(0, "uniform noise", int(task.indices[position])))
        scaled = task.maps[position] / np.abs(task.maps[position]).max()
        changes = []
        for _ in range(3):
            noisy = (task.images[position] + draws.uniform(-0.1, 0.1, (1, 28, 28))).astype(np.float32)
            one = slice(position, position + 1)
            (found,) = task.explain(task.network, noisy[None], task.targets[one], task.indices[one])
            changes.append(np.linalg.norm(found / np.abs(found).max() - scaled) / np.linalg.norm(scaled))
        assert scores["MaxSensitivity"][position] == pytest.approx(max(changes), rel=1e-4)
        assert scores["AvgSensitivity"][position] == pytest.approx(np.mean(changes), rel=1e-4)


def test_logits_under_noise_are_shared_by_methods(task):
    kept = {}

    def shared(key, compute):
        if key not in kept:
            kept[key] = compute()
        return kept[key]

    passed = []
    handle = task.network.register_forward_hook(lambda module, inputs, output: passed.append(len(output)))
    explain = functools.partial(np.zeros_like, task.maps[:1])
    tasks = [
        dataclasses.replace(
            task,
            shared=shared,
            maps=maps,
            explain=lambda network, images, targets, indices: np.repeat(explain(), len(images), axis=0),
        )
        for maps in (task.maps, -task.maps)
    ]
    try:
        first, second = (scorer("RelativeOutputStability").score(one)[0] for one in tasks)
    finally:
        handle.remove()
    assert sum(passed) == 7 * 4  # each image and three copies, for both methods
    np.testing.assert_allclose(first, second)


@pytest.mark.parametrize("steps", [1, 3, 8, 57])
def test_continuity_slides_the_whole_way(steps, task):
    """With a method that returns the image, the score is known; 57 = 2 * 28 + 1 leaves no position out."""
    images = np.abs(task.images[:2]) + 0.1
    fields = {name: getattr(task, name)[:2] for name in ("labels", "targets", "masks", "indices", "baseline_maps")}
    own = dataclasses.replace(
        task, images=images, maps=images[:, 0], explain=lambda network, pictures, *_: pictures[:, 0], **fields
    )
    scores, _ = find_scorer(f"Continuity:nr_steps={steps}").score(own)
    for position, (image,) in enumerate(images.astype(np.float64)):
        changes = []
        for shift in np.arange(1, steps + 1) * (57 // steps) - 28:
            slid = np.full((28, 28), image.min())
            for column in range(28):
                if 0 <= column - shift < 28:
                    slid[:, column] = image[:, column - shift]
            distance = np.abs(slid / slid.max() - image / image.max()).sum()
            changes.append(distance / (np.linalg.norm(slid - image) + 1e-9))
        assert scores[position] == pytest.approx(max(changes), rel=1e-5)
