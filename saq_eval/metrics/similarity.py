"""How alike two saliency maps of one image are: a model's and the baseline's.

All metrics compare magnitudes, each map divided by its own maximum, so that neither the logits'
scale nor a method's sign convention counts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy.stats import rankdata
from skimage.metrics import structural_similarity

from saq_eval.metrics.base import METRICS, Metric, is_degenerate

Similarity = Callable[..., float]


def register_similarity(
    name: str, *, reference: str, range: tuple[float, float], **settings: Any
) -> Callable[[Similarity], Similarity]:
    """Register the decorated function: two normalised maps, float64 (h, w) in [0, 1], to one number.

    `settings` are handed to it with every call.
    """

    def register(function: Similarity) -> Similarity:
        similarity = partial(function, **settings)
        METRICS.add(
            name,
            Metric(
                name=name,
                category="similarity",
                higher_is_better=True,
                range=range,
                reference=reference,
                settings=lambda shape: settings | {"reads": "magnitudes over each map's maximum"},
                score=lambda task: pairwise(similarity, task.maps, task.baseline_maps),
                chance=lambda task: chance_level(similarity, task.maps, task.baseline_maps),
            ),
        )
        return function

    return register


def pairwise(similarity: Similarity, maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the similarity of each map and the other map at its place.

    Args:
        maps, others: float32 (n, h, w).

    Returns:
        float64 (n,); NaN where either map is degenerate.
    """
    usable = ~is_degenerate(maps) & ~is_degenerate(others)
    pairs = zip(normalise(maps), normalise(others), usable, strict=True)
    return np.array([similarity(a, b) if ok else np.nan for a, b, ok in pairs])


def chance_level(similarity: Similarity, maps: np.ndarray, baseline_maps: np.ndarray) -> np.ndarray:
    """Return the similarity of each image's map and the baseline's map of *another* image.

    It is what two maps reach that share the dataset's framing and the method's texture, but not the
    image. Image k is paired with image k + n//2 (cyclically), whatever their classes.

    Args:
        maps, baseline_maps: float32 (n, h, w).

    Returns:
        float64 (n,); NaN where either map is degenerate, and for a single image.
    """
    if len(maps) < 2:
        return np.full(len(maps), np.nan)
    return pairwise(similarity, maps, np.roll(baseline_maps, -(len(maps) // 2), axis=0))


def normalise(maps: np.ndarray) -> np.ndarray:
    """Return magnitudes divided by each map's maximum: float (n, h, w) -> float64 in [0, 1]; NaN for all-zero maps."""
    magnitude = np.abs(maps.astype(np.float64))
    with np.errstate(invalid="ignore"):
        return magnitude / magnitude.max(axis=(1, 2), keepdims=True)


@register_similarity(
    "SSIM",
    reference="Wang et al. 2004, doi 10.1109/TIP.2003.819861",
    range=(-1.0, 1.0),
    gaussian_weights=True,
    sigma=1.5,
    data_range=1.0,
    use_sample_covariance=False,
)
def ssim(a: np.ndarray, b: np.ndarray, **settings: Any) -> float:
    """Structural similarity, with the Gaussian window of the paper (11x11 at σ = 1.5), K1 = 0.01 and K2 = 0.03."""
    return float(structural_similarity(a, b, **settings))


@register_similarity("Spearman", reference="Adebayo et al. 2018, arXiv 1810.03292", range=(-1.0, 1.0))
def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation of the pixels; tied pixels get their mean rank."""
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


@register_similarity("TopKIoU", reference="Ghorbani et al. 2019, arXiv 1710.10547", range=(0.0, 1.0), fraction=0.1)
def top_k_iou(a: np.ndarray, b: np.ndarray, fraction: float) -> float:
    """Intersection over union of the given fraction of most relevant pixels; ties are broken by position."""
    count = max(1, round(fraction * a.size))
    top_a, top_b = (set(np.argsort(-m, axis=None, kind="stable")[:count].tolist()) for m in (a, b))
    return len(top_a & top_b) / len(top_a | top_b)
