"""Writes folders of small pictures."""

from pathlib import Path

import numpy as np
from PIL import Image


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Return random bytes, uint8 (height, width, channels), or (height, width) for one channel."""
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write(path: Path, pixels: np.ndarray, **options) -> Path:
    """Write a picture, and the folders that it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def pets(root: Path, *, count: int = 3, height: int = 6, width: int = 8, channels: int = 3) -> Path:
    """Write PNG pictures of cats and dogs, `count` of each, all of one size; return their folder."""
    for place, name in enumerate(("cat", "dog")):
        for number in range(count):
            write(root / name / f"{number:04}.png", noise(height, width, channels, seed=10 * place + number))
    return root
