"""Intervals for means over images, and what they show."""

from __future__ import annotations

import numpy as np
from scipy.stats import bootstrap

RESAMPLES = 2000
CONFIDENCE = 0.95


def defined_mean(values: np.ndarray) -> float:
    """Return the mean of the values that are not NaN; NaN if there is none."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else np.nan


def mean_interval(values: np.ndarray, seed: int) -> tuple[float, float, float]:
    """Return the mean of the values that are defined and its 95 % interval (percentile bootstrap over images).

    Args:
        values: float (n,); NaN marks an undefined value and is left out.
        seed: of the 2,000 resamples.

    Returns:
        Mean, lower and upper end; the ends are NaN for fewer than two values, the mean too for none.
    """
    defined = values[~np.isnan(values)]
    if len(defined) < 2:
        return defined_mean(values), np.nan, np.nan
    interval = bootstrap(
        (defined,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return defined_mean(values), float(interval.low), float(interval.high)


def direction(low: float, high: float, higher_is_better: bool) -> str:
    """Say what the interval of a difference shows: "better", "worse", "unclear" where it holds 0, "" where there is none.

    Example: `direction(0.1, 0.3, higher_is_better=False)` is "worse".
    """
    if not (np.isfinite(low) and np.isfinite(high)):
        return ""
    if low <= 0 <= high:
        return "unclear"
    return "better" if (low > 0) == higher_is_better else "worse"
