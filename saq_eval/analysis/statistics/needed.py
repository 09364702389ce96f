"""The number of networks or images that would decide an undecided comparison."""

from __future__ import annotations

import numpy as np
from scipy import stats

from saq_eval.analysis.statistics.estimates import Estimates
from saq_eval.analysis.statistics.families import LEVEL

MOST_NEEDED = 100  # the largest number of networks, or multiple of the number of images, that is tried


def needed(found: Estimates, margins: np.ndarray, open: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each open row, how many networks would decide it, and how many images, if the other number stays.

    Returns:
        Two arrays float64 (k,), networks and images; NaN if no number up to `MOST_NEEDED` decides.
    """
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
    """Tell for which variances of the mean a mean of `delta` would differ from 0, or lie within the margin, for certain."""
    error = np.sqrt(variance)
    certain = stats.t.isf(LEVEL / 2, freedom) * error < delta
    return certain | (stats.t.isf(LEVEL, freedom) * error < margin - delta)
