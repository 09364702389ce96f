"""Reading saliency maps: their scale, degenerate maps, and the most relevant pixels."""

from __future__ import annotations

from typing import Literal

import numpy as np

Reading = Literal["signed maps", "magnitudes", "positive relevance", "unscaled maps"]


def is_degenerate(maps: np.ndarray) -> np.ndarray:
    """Tell which maps are degenerate: constant (also all zero) or not finite.

    Args:
        maps: float (n, h, w).

    Returns:
        bool (n,).
    """
    flat = maps.reshape(len(maps), -1)
    return ~np.isfinite(flat).all(axis=1) | (flat.max(axis=1) == flat.min(axis=1))


def largest_magnitudes(maps: np.ndarray) -> np.ndarray:
    """Return the largest magnitude of each map, to scale the map by: float (n, h, w) -> (n, 1, 1), of the same type."""
    return np.abs(maps).max(axis=(1, 2), keepdims=True)


def read(reading: Reading, maps: np.ndarray) -> np.ndarray:
    """Return maps as a metric reads them. Each is divided by its own largest magnitude, except "unscaled maps".

    Args:
        reading: "signed maps", with their signs; "magnitudes"; "positive relevance", with 0 for negative values; or
            "unscaled maps", with their signs and their scale.
        maps: float (n, h, w).

    Returns:
        float64 (n, h, w); all zero for a map without values of the kind read. A map that is not finite stays not finite.
    """
    maps = maps.astype(np.float64)
    if reading == "unscaled maps":
        return maps
    if reading == "magnitudes":
        maps = np.abs(maps)
    if reading == "positive relevance":
        maps = np.clip(maps, 0, None)
    largest = largest_magnitudes(maps)
    with np.errstate(invalid="ignore"):  # from maps that are not finite
        return maps / np.where(largest > 0, largest, 1)


def top_membership(relevance: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return to which share, 0 to 1, each pixel belongs to the k most relevant pixels of its row.

    Pixels above the k-th largest value belong to them with share 1. Pixels tied with the k-th largest value share the
    remaining places equally. This share is how often a pixel is among the top k over all orders of the tied pixels. Values
    that are not above 0 have share 0.

    Args:
        relevance: float (n, pixels).
        counts: int (n,), the k of each row, from 1 to the number of pixels.

    Returns:
        float64 (n, pixels), in 0 … 1. A row's sum is k, or the row's number of positive values if that is less.
    """
    rows = np.arange(len(relevance))
    last = -np.sort(-relevance, axis=1)[rows, counts - 1][:, None]
    above, tied = (relevance > last) & (relevance > 0), (relevance == last) & (relevance > 0)
    left = counts[:, None] - above.sum(axis=1, keepdims=True)
    return above + tied * left / np.maximum(tied.sum(axis=1, keepdims=True), 1)
