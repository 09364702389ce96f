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
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.stats import rankdata
from skimage.metrics import structural_similarity
from skimage.transform import resize_local_mean

from saq_eval.core.errors import SaqEvalError
from saq_eval.core.specs import Pixels, Share
from saq_eval.metrics.maps import top_membership
from saq_eval.metrics.pairs import register_similarity

Maps = Literal["normalised", "raw"]


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
    "SSIM",
    reference="Wang et al. 2004, doi 10.1109/TIP.2003.819861",
    range=(-1.0, 1.0),
    describe=lambda maps: maps,
    settings=_ssim_window,
)
def ssim(a: np.ndarray, b: np.ndarray, *, maps: Maps = "normalised") -> np.ndarray:
    """Structural similarity, with the paper's Gaussian window (11x11 at σ = 1.5), K1 = 0.01 and K2 = 0.03.

    On maps of fewer than 11 pixels across, the window is the largest odd one that fits, and σ is smaller in proportion.

    SSIM is made for images, which have no sign. For raw maps, a map and its negative get a high score where both the means
    and the deviations change sign, because the formula multiplies the two factors.
    """
    count, height, width = a.shape
    if maps == "raw":
        reach = np.maximum(a.max(axis=(1, 2)), b.max(axis=(1, 2))) - np.minimum(a.min(axis=(1, 2)), b.min(axis=(1, 2)))
        a, b = a / reach[:, None, None], b / reach[:, None, None]
    sigma = _ssim_window(height, width)["sigma"]
    # scikit-image compares two images, and on small ones nearly all of the time is that of the call itself. So all maps are
    # compared in one call, one below the other. Where the window reaches into the next map, the values are left out; these
    # are the values at a map's edge, which scikit-image leaves out too.
    _, local = structural_similarity(
        a.reshape(-1, width),
        b.reshape(-1, width),
        data_range=1.0,
        gaussian_weights=True,
        sigma=sigma,
        use_sample_covariance=False,
        full=True,
    )
    margin = int(3.5 * sigma + 0.5)  # scikit-image's window ends 3.5 σ from its centre
    inside = local.reshape(count, height, width)[:, margin : height - margin, margin : width - margin]
    return inside.mean(axis=(1, 2))


def _directions(vectors: np.ndarray) -> np.ndarray:
    """Return vectors (n, pixels), scaled to length 1."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _centred(vectors: np.ndarray) -> np.ndarray:
    """Return vectors (n, pixels), less their means, scaled to length 1: their products are correlations."""
    return _directions(vectors - vectors.mean(axis=1, keepdims=True))


def _products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the cosines of pairs of vectors of length 1: (n, pixels) and (n, pixels) -> (n,)."""
    return np.clip(np.einsum("np,np->n", a, b), -1, 1)  # rounding may give a value just above 1


@register_similarity(
    "Spearman",
    reference="Adebayo et al. 2018, arXiv 1810.03292",
    range=(-1.0, 1.0),
    describe=lambda maps: _centred(rankdata(maps.reshape(len(maps), -1), axis=1)),
)
def spearman(a: np.ndarray, b: np.ndarray, *, maps: Maps = "normalised") -> np.ndarray:
    """Rank correlation of the pixels; tied pixels get their mean rank."""
    return _products(a, b)


@register_similarity(
    "Pearson",
    reference="Adebayo et al. 2018, arXiv 1810.03292",
    range=(-1.0, 1.0),
    describe=lambda maps: _centred(maps.reshape(len(maps), -1)),
)
def pearson(a: np.ndarray, b: np.ndarray, *, maps: Maps = "normalised") -> np.ndarray:
    """Linear correlation of the pixels."""
    return _products(a, b)


@register_similarity(
    "Cosine",
    reference="Ancona et al. 2018, arXiv 1711.06104",
    range=(-1.0, 1.0),
    describe=lambda maps: _directions(maps.reshape(len(maps), -1)),
)
def cosine(a: np.ndarray, b: np.ndarray, *, maps: Maps = "normalised") -> np.ndarray:
    """The cosine of the angle between the maps as vectors of pixels; from 0 to 1 for magnitudes."""
    return _products(a, b)


def _top(maps: np.ndarray, *, k: float) -> np.ndarray:
    """Return to which share each pixel belongs to the share k of most relevant pixels: float64 (n, pixels)."""
    vectors = maps.reshape(len(maps), -1)
    return top_membership(vectors, np.full(len(vectors), max(1, round(k * vectors.shape[1]))))


@register_similarity("TopKIoU", reference="Ghorbani et al. 2019, arXiv 1710.10547", range=(0.0, 1.0), describe=_top)
def top_k_iou(a: np.ndarray, b: np.ndarray, *, k: Share = 0.1, maps: Maps = "normalised") -> np.ndarray:
    """Intersection over union of the share k of most relevant pixels; if fewer pixels are relevant, of these.

    Pixels that are tied for the last places share them equally. The intersection is then the sum of the smaller shares,
    the union the sum of the larger shares. NaN if neither map has a positive value, which is possible for raw maps.
    """
    shared, union = np.minimum(a, b).sum(axis=1), np.maximum(a, b).sum(axis=1)
    return np.divide(shared, union, out=np.full(len(a), np.nan), where=union > 0)


class _Masses(NamedTuple):
    """Masses on a grid of cells, whose sum is 1: float64 (n, rows, columns); and the maps' sizes, int (n, 2)."""

    masses: np.ndarray
    sizes: np.ndarray


def _on_a_grid(maps: np.ndarray, *, cells: int) -> _Masses:
    grid = tuple(min(cells, size) for size in maps.shape[1:])
    means = resize_local_mean(maps, grid, channel_axis=0)
    return _Masses(means / means.sum(axis=(1, 2), keepdims=True), np.full((len(maps), 2), maps.shape[1:]))


@register_similarity(
    "EMD",
    reference="Rubner et al. 2000, doi 10.1023/A:1026543900054",
    range=(0.0, 1.0),
    higher_is_better=False,
    describe=_on_a_grid,
)
def earth_movers_distance(a: _Masses, b: _Masses, *, cells: Pixels = 7) -> np.ndarray:
    """Earth mover's distance of the magnitudes, as masses of 1 on a grid of cells, in image diagonals (POT).

    Both sides of an image have the same number of cells, so the cells of an image that is not square are not square.
    """
    distances = _distances(a.masses.shape[1:], tuple(a.sizes[0]))
    return np.array([_moved(gain, distances) for gain in (b.masses - a.masses).reshape(len(a.masses), -1)])


def _moved(gain: np.ndarray, distances: np.ndarray) -> float:
    """Return the least sum of mass × distance that gives each cell its gain, float64 (cells,), which sums to 0.

    The distances obey the triangle inequality. So what a cell has in both maps stays there, and each cell either only
    gives mass or only gets some: the problem is a quarter of the size.
    """
    import ot  # imported here, because the import takes a second

    gives, gets = gain < 0, gain > 0
    mass = gain[gets].sum()
    if mass < 1e-12:  # equal maps, up to rounding
        return 0.0
    left, added = -gain[gives], gain[gets]
    between = distances[np.ix_(gives, gets)]
    return float(mass * ot.emd2(left / left.sum(), added / mass, between, check_marginals=False))


@functools.cache
def _distances(grid: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    """Return the distances between the cells of a grid over an image (h, w), in its diagonals: float64 (cells, cells)."""
    axes = [(np.arange(cells) + 0.5) / cells * size for cells, size in zip(grid, shape, strict=True)]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2) / np.hypot(*shape)
    return np.linalg.norm(places[:, None] - places[None], axis=2)
