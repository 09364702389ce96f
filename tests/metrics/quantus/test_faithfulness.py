"""Faithfulness against the papers' definitions."""

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr
from skimage.filters import gaussian

from saq_eval import explain, load_model
from saq_eval.attribution.superpixels import superpixels
from saq_eval.core.randomness import derived_seed
from tests.metrics.quantus.conftest import COUNT, close, outputs, score, scorer


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
