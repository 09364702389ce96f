"""Planted evidence: the patch decides the label, and nothing else says anything of it."""

import itertools
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import chi2_contingency

from saq_eval import load_dataset
from saq_eval.data.builtin.planted import patches


@pytest.fixture(scope="module", params=["train", "test"])
def split(request):
    return request.param


@pytest.fixture(scope="module")
def planted(split):
    return load_dataset("planted", split)


@pytest.fixture(scope="module")
def shown(planted, split):
    """The digits underneath, in the order of the images."""
    digits = load_dataset("digits", split)
    chosen = torch.arange(len(planted)) % len(digits)
    return SimpleNamespace(images=digits.images[chosen], labels=digits.labels[chosen])


def test_planted_sizes(planted, split):
    assert len(planted) == {"train": 4 * 1437, "test": 360}[split]
    assert planted.images.shape == (len(planted), 1, 28, 28)
    assert planted.evidence.shape == planted.images.shape and planted.evidence.dtype == torch.bool
    assert len(set(torch.bincount(planted.labels).tolist())) <= 2 and len(planted.class_names) == 10
    assert torch.equal((planted.images * 255).round() / 255, planted.images)


def test_the_planted_patch_alone_decides(planted):
    """Cut out by its mask it is its class's patch, pixel by pixel."""
    cut = planted.images[planted.evidence].reshape(len(planted), 8, 8)
    assert torch.equal(cut, torch.from_numpy(patches()[planted.labels.numpy()] / np.float32(255)))


def test_the_evidence_is_one_patch_that_lies_inside_and_anywhere(planted, split):
    assert (planted.evidence.sum(dim=(1, 2, 3)) == 64).all()
    rows, columns = planted.evidence[:, 0].any(dim=2), planted.evidence[:, 0].any(dim=1)
    assert torch.equal(planted.evidence[:, 0], rows[:, :, None] & columns[:, None, :])
    for lines in (rows, columns):
        first = lines.int().argmax(dim=1)
        assert (lines.sum(dim=1) == 8).all() and (lines.int().flip(1).argmax(dim=1) == 20 - first).all()
        assert set(first.tolist()) == set(range(21))
    assert chi2_contingency(np.histogram2d(planted.labels, columns.int().argmax(dim=1), (10, 3))[0]).pvalue > 0.01


def test_the_planted_digit_is_dealt_evenly_to_the_labels(planted, shown):
    table = np.zeros((10, 10))
    np.add.at(table, (shown.labels, planted.labels), 1)
    assert (np.ptp(table, axis=1) <= 1).all()
    assert chi2_contingency(table).pvalue > 0.99


def test_outside_the_patch_the_planted_test_set_shows_the_plain_digits(digits):
    planted = load_dataset("planted")
    outside = ~planted.evidence
    assert torch.equal(planted.images[outside], digits.images[outside])


def test_outside_the_patch_the_planted_training_set_shows_training_digits_dimmed_and_cluttered():
    """So no test digit is in it: the splits of `digits` are disjoint."""
    planted, digits = load_dataset("planted", "train"), load_dataset("digits", "train")
    contrasts, whites = [], []
    for position in range(0, len(planted), 29):
        outside = ~planted.evidence[position]
        image, digit = planted.images[position][outside], digits.images[position % len(digits)][outside]
        contrast = float((image / digit)[digit > 0.5].median())
        off = (image - contrast * digit).abs() > 0.02  # what is clutter, not the dimmed digit
        assert set(image[off].tolist()) <= {0, 1} and off.float().mean() < 0.35
        contrasts.append(contrast)
        whites.append(float((image[off] == 1).float().sum() / len(image)))
    assert min(contrasts) < 0.02 and max(contrasts) > 0.98 and abs(np.mean(contrasts) - 0.5) < 0.1
    assert min(whites) < 0.005 and max(whites) > 0.12 and abs(np.mean(whites) - 0.075) < 0.015


def test_nothing_but_the_patch_tells_the_label(planted, shown):
    """The nearest class mean, which finds a digit's class four times out of five, is at a loss without the patch."""

    def found(images, labels):
        fit, judge = np.arange(len(labels)) % 2 == 0, np.arange(len(labels)) % 2 == 1
        means = np.stack([images[fit & (labels == label)].mean(axis=0) for label in range(10)])
        distances = ((images[judge, None] - means) ** 2).sum(axis=2)
        return (distances.argmin(axis=1) == labels[judge]).mean()

    covered = planted.images.masked_fill(planted.evidence, 0.5).flatten(1).numpy()
    chance = 4 * np.sqrt(0.09 / (len(planted) / 2))  # standard errors of one in ten
    assert abs(found(covered, planted.labels.numpy()) - 0.1) < chance
    assert found(shown.images.flatten(1).numpy(), shown.labels.numpy()) > 0.8


def test_planted_patterns_are_equally_bright_and_far_apart():
    drawn = patches() // 255
    assert drawn.shape == (10, 8, 8) and (drawn.sum(axis=(1, 2)) == 18).all()
    assert not drawn[:, [0, -1]].any() and not drawn[:, :, [0, -1]].any()
    cells = drawn[:, 1:-1, 1:-1].astype(int)
    squares = np.lib.stride_tricks.sliding_window_view(cells, (2, 2), axis=(1, 2)).sum(axis=(3, 4))
    assert squares.min() >= 1 and squares.max() <= 3
    for axis in (1, 2):
        assert np.lib.stride_tricks.sliding_window_view(cells, 4, axis=axis).sum(axis=-1).max() == 3
    for one, other in itertools.combinations(cells, 2):
        fixed = np.pad(one, 6)
        for down, across in itertools.product(range(13), repeat=2):
            moved = np.zeros_like(fixed)
            moved[down : down + 6, across : across + 6] = other
            assert (fixed != moved).sum() >= 16


def test_planted_is_what_the_zoo_was_trained_on(planted, split):
    """Random generators could change with NumPy; the shipped networks would not."""
    codes = (planted.images * 255).round().to(torch.uint8).numpy()
    checksum = zlib.crc32(codes.tobytes() + planted.labels.numpy().tobytes())
    assert checksum == {"train": 1892731996, "test": 1215188016}[split]


def test_planted_masks_are_the_evidence_whatever_is_chosen(planted):
    chosen = planted.sample(20, seed=3)
    assert torch.equal(chosen.masks(), planted.evidence[chosen.indices])
    assert torch.equal(chosen[4].mask, chosen.evidence[4])
