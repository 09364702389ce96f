"""The digits with planted evidence: for each image, it is known which pixels decide the label."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from saq_eval.data.images import Dataset, Split, grey_dataset
from saq_eval.data.registry import load_dataset, register_dataset

# For any two patterns, laid on each other at any offset, at least 16 of their 36 lit cells lie on dark cells. No pattern has
# a lit 2x2 square or four lit cells in a row or column, as strokes have. No pattern has a dark 2x2 square, so each part of
# a pattern carries information.
_PATTERNS = """
    #.###. ###.## #.##.# #..### ..##..
    #...## .#..#. ..#.#. .#.#.. #..##.
    .#.#.# ...### .##... ..#..# #.##.#
    ...#.# .#.#.. ##..## .#..## ##....
    #.#... ...#.# #.##.# .#.##. .##.##
    ##.#.# #.#.## #....# #.##.# ..##.#

    #..#.# .##..# #.#.#. ##..#. #.##..
    ###..# #.##.# ..##.. #..##. .#...#
    #..#.# .#..#. ##.### #.##.. ..#.##
    .#..#. .#.#.# #....# .##..# ##.##.
    #.##.. #..#.. .###.# ##.#.. #..#.#
    #.#.#. #.###. #..#.. #...## .#.##.
"""


def patches() -> np.ndarray:
    """Return the ten patterns, white on black, with a black frame of one pixel: uint8 (10, 8, 8)."""
    lit = [[list(row) for row in block.split()] for block in _PATTERNS.strip().split("\n\n")]
    patterns = (np.array(lit).reshape(2, 6, 5, 6) == "#").swapaxes(1, 2).reshape(10, 6, 6)
    return np.pad(patterns, ((0, 0), (1, 1), (1, 1))).astype(np.uint8) * 255


@register_dataset("planted")
def load(split: Split, data_root: Path) -> Dataset:
    """The digits with planted evidence: only a patch, written in at a random place, decides the label.

    So it is known where an explanation should point; nobody has to guess it from the image. The idea comes from objects
    pasted into scenes (Yang and Kim 2019, arXiv 1907.09701). Unlike a scene, a digit tells nothing about the label.

    A patch is one of ten patterns of 6x6 pixels, 18 of them white, in a black frame: 8x8 pixels, 8.2 % of the image.
    The whole patch fits in 441 places; one of them is drawn for each image. Within each class of digit, every label
    is equally frequent.

    The test set has each test digit once, unchanged except for the patch. The training set has four copies of each
    training digit, each with its own patch, contrast and clutter. The contrast is uniform in 0 … 1. Clutter makes a
    share of the pixels, uniform in 0 … 0.3, black or white. Without contrast and clutter, a network would not have to
    learn to ignore the digits: it would get the labels right, but put half of its relevance on the strokes.

    Image i shows digit i, modulo the size of that split of `digits`.
    """
    digits, rng = (
        load_dataset("digits", split, data_root).in_memory(),
        np.random.default_rng(["train", "test"].index(split)),
    )
    shown = np.tile(np.arange(len(digits)), 4 if split == "train" else 1)
    count = len(shown)

    in_order = np.lexsort((rng.random(count), digits.labels.numpy()[shown]))  # by digit, shuffled within each digit
    labels = np.empty(count, dtype=np.int64)
    labels[in_order] = np.arange(count) % 10

    images = digits.images.numpy()[shown, 0] * 255
    size = images.shape[1:]
    if split == "train":
        images *= rng.random((count, 1, 1), dtype=np.float32)
        hidden = rng.random((count, *size)) < rng.uniform(0, 0.3, (count, 1, 1))
        images[hidden] = 255 * rng.integers(0, 2, hidden.sum())
    images = np.rint(images).astype(np.uint8)

    drawn = patches()
    side = drawn.shape[1]
    offsets = np.arange(size[0]) - rng.integers(0, size[0] - side + 1, (2, count, 1))
    down, across = (offsets >= 0) & (offsets < side)
    evidence = down[:, :, None] & across[:, None, :]
    images[evidence] = drawn[labels].ravel()
    names = tuple(f"pattern {label}" for label in range(10))
    dataset = grey_dataset("planted", split, torch.from_numpy(images), torch.from_numpy(labels), names)
    return replace(dataset, evidence=torch.from_numpy(evidence).unsqueeze(1), evidence_by="known")
