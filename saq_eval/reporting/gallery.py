"""The few images whose maps the report shows."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from saq_eval.datasets import Dataset


@dataclass(frozen=True)
class Gallery:
    """A few images with all their maps.

    Attributes:
        positions: int (k,), where the images stand in the sample.
        images: float32 (k, c, h, w) in [0, 1].
        indices: int (k,), the images' positions in the test set.
        captions: k class names.
        maps: by (model, method), float32 (k, h, w).
    """

    positions: np.ndarray
    images: np.ndarray
    indices: np.ndarray
    captions: tuple[str, ...]
    maps: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, sample: Dataset, count: int = 10) -> Gallery:
        """Choose the first image of each class, for up to `count` classes."""
        labels = sample.labels.numpy()
        positions = np.unique(labels, return_index=True)[1][:count]
        captions = tuple(sample.class_names[label] for label in labels[positions])
        return cls(positions, sample.images.numpy()[positions], sample.indices.numpy()[positions], captions)

    def add(self, model: str, method: str, maps: np.ndarray) -> None:
        """Keep the chosen images' maps out of those of the whole sample, float32 (n, h, w)."""
        self.maps[model, method] = np.array(maps[self.positions])
