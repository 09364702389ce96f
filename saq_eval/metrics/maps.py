"""What is read of saliency maps: their scale, which of them say nothing, and which pixels are on top."""

from __future__ import annotations

from typing import Literal

import numpy as np

Reading = Literal["signed maps", "magnitudes", "positive relevance", "unscaled maps"]


def is_degenerate(maps: np.ndarray) -> np.ndarray:
    """Tell which maps say nothing: constant (all zero included) or not finite.

    Args:
        maps: float (n, h, w).

    Returns:
        bool (n,).
    """
    flat = maps.reshape(len(maps), -1)
    return ~np.isfinite(flat).all(axis=1) | (flat.max(axis=1) == flat.min(axis=1))


def largest_magnitudes(maps: np.ndarray) -> np.ndarray:
    """Return the largest magnitude of each map, by which it is scaled: float (n, h, w) -> (n, 1, 1), of the same type."""
    return np.abs(maps).max(axis=(1, 2), keepdims=True)


def read(reading: Reading, maps: np.ndarray) -> np.ndarray:
    """Return what is read of maps, each over its own largest magnitude unless they are read unscaled.

    Args:
        reading: "signed maps" as they are; "magnitudes"; "positive relevance", with 0 for what is negative; or
            "unscaled maps", as they are.
        maps: float (n, h, w).

    Returns:
        float64 (n, h, w); 0 throughout where nothing is left of a map. A map that is not finite stays so.
    """
    maps = maps.astype(np.float64)
    if reading == "unscaled maps":
        return maps
    if reading == "magnitudes":
        maps = np.abs(maps)
    if reading == "positive relevance":
        maps = np.clip(maps, 0, None)
    largest = largest_magnitudes(maps)
    with np.errstate(invalid="ignore"):  # of maps that are not finite
        return maps / np.where(largest > 0, largest, 1)


def top_membership(relevance: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return by how much each pixel belongs to the most relevant ones of its row.

    Pixels above the last one's value belong wholly. Those that are tied with it share equally in the places that are left,
    which is how often each is in over all orders of them. Values that are not above 0 do not belong.

    Args:
        relevance: float (n, pixels).
        counts: int (n,), the number of places, from 1 to the number of pixels.

    Returns:
        float64 (n, pixels), in 0 … 1, with row sums `counts`, or the number of positive values where these are fewer.
    """
    rows = np.arange(len(relevance))
    last = -np.sort(-relevance, axis=1)[rows, counts - 1][:, None]
    above, tied = (relevance > last) & (relevance > 0), (relevance == last) & (relevance > 0)
    left = counts[:, None] - above.sum(axis=1, keepdims=True)
    return above + tied * left / np.maximum(tied.sum(axis=1, keepdims=True), 1)
