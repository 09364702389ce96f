"""Similarity of two saliency maps of one image: a model's map and the baseline's.

The parameter `maps` says in which form a metric compares the two maps:

- "normalised": magnitudes, each map divided by its own maximum, so that neither the logits' scale nor a
  method's sign convention counts;
- "raw": as the method gave them, with sign and scale.

A similarity alone means little, since maps of *different* images are somewhat similar too. So each similarity has a
chance level: the mean similarity of an image's map and the baseline's maps of other images. Reports also give
(s − chance) / (1 − chance): 0 at the chance level, 1 for identical maps.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from scipy.stats import rankdata
from skimage.metrics import structural_similarity
from skimage.transform import resize_local_mean

from saq_eval.core.errors import SaqEvalError
from saq_eval.core.specs import Pixels, Share
from saq_eval.metrics.base import METRICS, Metric, Shape, Task
from saq_eval.metrics.maps import Reading, is_degenerate, read, top_membership

Maps = Literal["normalised", "raw"]
Similarity = Callable[..., float]
OTHERS = 4  # number of other images that each map is compared with for the chance level


def register_similarity(
    name: str,
    *,
    reference: str,
    range: tuple[float, float],
    higher_is_better: bool = True,
    settings: Callable[[int, int], dict[str, Any]] = lambda height, width: {},
) -> Callable[[Similarity], Similarity]:
    """Register the decorated function, which returns the similarity of two maps, float64 (h, w), that are not degenerate.

    The function's keyword-only parameters are the metric's parameters. It gets magnitudes over their maximum, unless it
    has a parameter `maps` with the value "raw". `settings` returns further settings that reports print, for maps (h, w).
    It raises `SaqEvalError` if maps of that size cannot be compared.
    """

    def register(function: Similarity) -> Similarity:
        def score(task: Task, **parameters: Any) -> np.ndarray:
            return pairwise(function, task.maps, task.baseline_maps, **parameters)

        def chance(task: Task, **parameters: Any) -> np.ndarray:
            return chance_level(function, task.maps, task.baseline_maps, **parameters)

        def resolve(parameters: dict[str, Any], shape: Shape) -> dict[str, Any]:
            return settings(*shape[1:]) | parameters | ({} if "maps" in parameters else {"maps": "normalised"})

        METRICS.add(
            name,
            Metric(
                name=name,
                category="similarity",
                higher_is_better=higher_is_better,
                range=range,
                reference=reference,
                score=score,
                declares=function,
                resolve=resolve,
                chance=chance,
            ),
        )
        return function

    return register


def pairwise(similarity: Similarity, ours: np.ndarray, theirs: np.ndarray, **parameters: Any) -> np.ndarray:
    """Return the similarity of each pair of maps, one of `ours` and one of `theirs` at the same position.

    Args:
        ours, theirs: maps, float32 (n, h, w).
        parameters: the parameters of the similarity.

    Returns:
        float64 (n,); NaN if either map is degenerate.
    """
    usable = ~is_degenerate(ours) & ~is_degenerate(theirs)
    reading: Reading = "magnitudes" if parameters.get("maps", "normalised") == "normalised" else "unscaled maps"
    pairs = zip(read(reading, ours), read(reading, theirs), usable, strict=True)
    return np.array([similarity(a, b, **parameters) if ok else np.nan for a, b, ok in pairs])


def chance_level(similarity: Similarity, ours: np.ndarray, theirs: np.ndarray, **parameters: Any) -> np.ndarray:
    """Return the mean similarity of each image's map and the baseline's maps of four *other* images.

    Such maps share the dataset's framing and the method's texture, but not the image. Image k is paired with images
    k + n/5, k + 2n/5, … (cyclically), regardless of their classes.

    Args:
        ours, theirs: maps, float32 (n, h, w).
        parameters: the parameters of the similarity.

    Returns:
        float64 (n,); NaN if the map or all other maps are degenerate, and for a single image.
    """
    count = len(ours)
    shifts = sorted({round(count * k / (OTHERS + 1)) for k in range(1, OTHERS + 1)} - {0, count})
    if not shifts:
        return np.full(count, np.nan)
    levels = np.stack([pairwise(similarity, ours, np.roll(theirs, -shift, axis=0), **parameters) for shift in shifts])
    counts = (~np.isnan(levels)).sum(axis=0)
    return np.divide(np.nansum(levels, axis=0), counts, out=np.full(count, np.nan), where=counts > 0)


def _ssim_window(height: int, width: int) -> dict[str, Any]:
    """Return SSIM's settings for maps of a size: the paper's window, or the largest that fits, with σ in proportion."""
    side = min(11, height, width)
    side -= 1 - side % 2  # odd
    if side < 3:
        raise SaqEvalError(f"SSIM needs maps of at least 3x3 pixels, not {height}x{width}: drop it from the metrics")
    return {
        "window": f"Gaussian, {side}x{side}",
        "sigma": 1.5 * side / 11,
        "k1": 0.01,
        "k2": 0.03,
        "data_range": "1, of raw maps the range of the two",
    }


@register_similarity(
    "SSIM", reference="Wang et al. 2004, doi 10.1109/TIP.2003.819861", range=(-1.0, 1.0), settings=_ssim_window
)
def ssim(a: np.ndarray, b: np.ndarray, *, maps: Maps = "normalised") -> float:
    """Structural similarity, with the paper's Gaussian window (11x11 at σ = 1.5), K1 = 0.01 and K2 = 0.03.

    On maps of fewer than 11 pixels across, the window is the largest odd one that fits, and σ is smaller in proportion.

    SSIM is made for images, which have no sign. For raw maps, a map and its negative get a high score where both the means
    and the deviations change sign, because the formula multiplies the two factors.
    """
    data_range = 1.0 if maps == "normalised" else max(a.max(), b.max()) - min(a.min(), b.min())
    sigma = _ssim_window(*a.shape)["sigma"]  # scikit-image's window is 3.5 σ to either side
    return float(
        structural_similarity(
            a, b, data_range=data_range, gaussian_weights=True, sigma=sigma, use_sample_covariance=False
        )
    )


@register_similarity("Spearman", reference="Adebayo et al. 2018, arXiv 1810.03292", range=(-1.0, 1.0))
def spearman(a: np.ndarray, b: np.ndarray, *, maps: Maps = "normalised") -> float:
    """Rank correlation of the pixels; tied pixels get their mean rank."""
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


@register_similarity("Pearson", reference="Adebayo et al. 2018, arXiv 1810.03292", range=(-1.0, 1.0))
def pearson(a: np.ndarray, b: np.ndarray, *, maps: Maps = "normalised") -> float:
    """Linear correlation of the pixels."""
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


@register_similarity("Cosine", reference="Ancona et al. 2018, arXiv 1711.06104", range=(-1.0, 1.0))
def cosine(a: np.ndarray, b: np.ndarray, *, maps: Maps = "normalised") -> float:
    """The cosine of the angle between the maps as vectors of pixels; from 0 to 1 for magnitudes."""
    return float((a * b).sum() / (np.linalg.norm(a) * np.linalg.norm(b)))


@register_similarity("TopKIoU", reference="Ghorbani et al. 2019, arXiv 1710.10547", range=(0.0, 1.0))
def top_k_iou(a: np.ndarray, b: np.ndarray, *, k: Share = 0.1, maps: Maps = "normalised") -> float:
    """Intersection over union of the share k of most relevant pixels; if fewer pixels are relevant, of these.

    Pixels that are tied for the last places share them equally. The intersection is then the sum of the smaller shares,
    the union the sum of the larger shares. NaN if neither map has a positive value, which is possible for raw maps.
    """
    count = np.array([max(1, round(k * a.size))])
    top_a, top_b = (top_membership(m.reshape(1, -1), count) for m in (a, b))
    union = np.maximum(top_a, top_b).sum()
    return float(np.minimum(top_a, top_b).sum() / union) if union > 0 else math.nan


@register_similarity(
    "EMD", reference="Rubner et al. 2000, doi 10.1023/A:1026543900054", range=(0.0, 1.0), higher_is_better=False
)
def earth_movers_distance(a: np.ndarray, b: np.ndarray, *, cells: Pixels = 7) -> float:
    """Earth mover's distance of the magnitudes, as masses of 1 on a grid of cells, in image diagonals (POT).

    Both sides of an image have the same number of cells, so the cells of an image that is not square are not square.
    """
    import ot  # imported here, because the import takes a second

    grid = tuple(min(cells, size) for size in a.shape)
    masses = [resize_local_mean(m, grid).ravel() for m in (a, b)]
    return float(ot.emd2(*(mass / mass.sum() for mass in masses), _distances(grid, a.shape)))


@functools.cache
def _distances(grid: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    """Return the distances between the cells of a grid over an image (h, w), in its diagonals: float64 (cells, cells)."""
    axes = [(np.arange(cells) + 0.5) / cells * size for cells, size in zip(grid, shape, strict=True)]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2) / np.hypot(*shape)
    return np.linalg.norm(places[:, None] - places[None], axis=2)
