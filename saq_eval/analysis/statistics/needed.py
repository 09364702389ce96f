"""How many networks, or images, would decide what is undecided."""

from __future__ import annotations

import numpy as np
from scipy import stats

from saq_eval.analysis.statistics.estimates import Estimates
from saq_eval.analysis.statistics.families import LEVEL

MOST_NEEDED = 100  # networks, or times the images, that are looked through for the number that would decide


def needed(found: Estimates, margins: np.ndarray, open: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many networks, or images, would decide each open row, the other number staying: float64 (k,)."""
    numbers, times = np.arange(1, MOST_NEEDED + 1), np.geomspace(1.1, MOST_NEEDED, 60)
    needed = np.full((2, len(margins)), np.nan)
    for row in np.flatnonzero(open & (found.images >= 2)):
        delta, margin = abs(found.mean[row]), margins[row]
        drawn = found.scope[row] == "scheme"
        networks, images = int(found.networks[row]), int(found.images[row])
        between, within = found.between[row] if drawn else 0.0, found.within[row] / images
        if drawn:
            more = numbers[numbers > networks]
            decide = more[_decides(delta, margin, between / more + within, more - 1)]
            needed[0, row] = decide[0] if len(decide) else np.nan
        variance = between / max(networks, 1) + within / times
        freedom = max(networks - 1, 1) if drawn else images * times - 1
        decide = times[_decides(delta, margin, variance, freedom)]
        needed[1, row] = float(f"{images * decide[0]:.2g}") if len(decide) else np.nan
    return needed[0], needed[1]


def _decides(delta: float, margin: float, variance: np.ndarray, freedom: np.ndarray | int) -> np.ndarray:
    """Return where a mean of `delta` is certain, or certain to lie within the margin, at a variance of that mean."""
    error = np.sqrt(variance)
    certain = stats.t.isf(LEVEL / 2, freedom) * error < delta
    return certain | (stats.t.isf(LEVEL, freedom) * error < margin - delta)
