"""Skewness, and Hall's (1992) correction of Student's statistic for it."""

from __future__ import annotations

import numpy as np

from saq_eval.analysis.statistics.means import mean_along


def skewness(values: np.ndarray) -> np.ndarray:
    """Return the skewness of each row, Σ(x − mean)³/n over the standard deviation³: (k, n) -> (k,); 0 if nothing varies."""
    away = values - mean_along(values, 1)[:, None]
    second, third = mean_along(away**2, 1), mean_along(away**3, 1)
    return np.divide(third, second**1.5, out=np.zeros(len(values)), where=second > 1e-24)


def without_skew(statistic: np.ndarray, skew: np.ndarray) -> np.ndarray:
    """Return Hall's transformation of Student's statistic, which is monotone: g(T) = T + γ(T² / 3 + 1/6) + γ²T³ / 27."""
    return statistic + skew * (statistic**2 / 3 + 1 / 6) + skew**2 * statistic**3 / 27


def with_skew(quantile: np.ndarray, skew: np.ndarray) -> np.ndarray:
    """Return the statistic that `without_skew` transforms to `quantile`."""
    safe = np.where(np.abs(skew) > 1e-9, skew, 1.0)
    return np.where(np.abs(skew) > 1e-9, 3 / safe * (np.cbrt(1 + safe * (quantile - safe / 6)) - 1), quantile)
