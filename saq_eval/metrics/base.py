"""What a metric is; the metrics themselves are in the modules beside this one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import nn

from saq_eval.registry import Registry

Shape = tuple[int, int, int]
Category = Literal["faithfulness", "localisation", "similarity"]


@dataclass(frozen=True)
class Task:
    """What a metric scores: one network's maps of some images by one method.

    Attributes:
        network: in eval mode; pixels (n, c, h, w) in [0, 1] -> logits (n, classes).
        images: float32 (n, c, h, w).
        targets: int64 (n,), the class that each map explains.
        masks: bool (n, 1, h, w), true on the object.
        maps: float32 (n, h, w).
        baseline_maps: float32 (n, h, w), the baseline network's maps of the same images and classes.
        indices: int64 (n,), the images' identities, from which random metrics draw.
        seed: of random metrics.
        batch_size: images in a chunk.
        device: "cpu" or "cuda", where the network is.
    """

    network: nn.Module
    images: np.ndarray
    targets: np.ndarray
    masks: np.ndarray
    maps: np.ndarray
    baseline_maps: np.ndarray
    indices: np.ndarray
    seed: int
    batch_size: int
    device: str


@dataclass(frozen=True)
class Metric:
    """A metric with one score per image.

    Attributes:
        name: as on the command line.
        category: what it measures.
        higher_is_better: the direction; for similarity, higher is closer to the baseline's map.
        range: lowest and highest possible score.
        reference: the paper.
        score: Task -> float64 (n,); NaN where the score is undefined, above all for degenerate maps.
        settings: from an image's shape (c, h, w) to the parameters that reports print.
        chance: Task -> float64 (n,), what unrelated maps would score; none where that is not known.
    """

    name: str
    category: Category
    higher_is_better: bool
    range: tuple[float, float]
    reference: str
    score: Callable[[Task], np.ndarray]
    settings: Callable[[Shape], dict[str, Any]] = lambda shape: {}
    chance: Callable[[Task], np.ndarray] | None = None


METRICS: Registry[Metric] = Registry("metric")


def is_degenerate(maps: np.ndarray) -> np.ndarray:
    """Tell which maps say nothing: constant (all zero included) or not finite.

    Args:
        maps: float (n, h, w).

    Returns:
        bool (n,).
    """
    flat = maps.reshape(len(maps), -1)
    return ~np.isfinite(flat).all(axis=1) | (flat.max(axis=1) == flat.min(axis=1))
