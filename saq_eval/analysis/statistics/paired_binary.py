"""An exact paired test for scores of 0 or 1, for example whether one network is right on more images than another.

Of n images, b have a difference of +1, c a difference of −1, and the others 0. The test orders all outcomes (b, c) by the
score statistic (Tango 1998, doi 10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B). It adds up the
probabilities of the outcomes that are at least as extreme. These depend on the unknown share of images that differ; the
share with the largest sum is used. So the rate of false findings is at most the level (Suissa and Shuster 1991, doi
10.2307/2532643), up to the grid of shares.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import gammaln, xlogy

MOST_IMAGES = 300  # the number of outcomes grows with the square; for more images, Student's t is as good
_SHARES = 24  # number of shares of images that differ, at which the probability is computed
_STEPS = 10  # halvings of the interval from −1 to 1: ends are known to ±0.001, and their p-values can be cached


def above(up: int, down: int, images: int, null: float) -> float:
    """Return the p-value of "mean difference ≤ null" against "mean difference > null".

    Args:
        up, down: the numbers of images with a difference of +1 and of −1.
        images: the number of all images, at most `MOST_IMAGES`.
        null: −1 to 1.
    """
    if abs(null) >= 1:
        return 1.0 if null > 0 or up + images == down else 0.0
    return float(_p_values(images, round(null, 12))[up, down])


def below(up: int, down: int, images: int, null: float) -> float:
    """Return the p-value of "mean difference ≥ null" against "mean difference < null"."""
    return above(down, up, images, -null)


@lru_cache(maxsize=4096)
def lower_limit(up: int, down: int, images: int, level: float) -> float:
    """Return the lower confidence limit of the mean difference, −1 to 1, at a one-sided level, to ±0.001; see `above`."""
    low, high = -1.0, 1.0
    for _ in range(_STEPS + 1):
        middle = (low + high) / 2
        low, high = (middle, high) if above(up, down, images, middle) < level else (low, middle)
    return -1.0 if low == -1 else (low + high) / 2


def upper_limit(up: int, down: int, images: int, level: float) -> float:
    """Return the upper confidence limit of the mean difference, −1 to 1, at a one-sided level, to ±0.001; see `above`."""
    return -lower_limit(down, up, images, level)


@lru_cache(maxsize=256)
def _p_values(images: int, null: float) -> np.ndarray:
    """Return the p-values of all outcomes, float32 (images + 1, images + 1) by b and c; 1 for impossible outcomes."""
    plus, minus, ways = _outcomes(images)
    statistic = np.round(_score(plus, minus, images, null), 9)
    differ = np.linspace(abs(null), 1.0, _SHARES)[:, None]
    p_plus, p_minus = (differ + null) / 2, (differ - null) / 2
    logs = ways + xlogy(plus, p_plus) + xlogy(minus, p_minus) + xlogy(images - plus - minus, 1 - differ)
    order = np.argsort(-statistic, kind="stable")
    tails = np.exp(logs[:, order]).cumsum(axis=1).max(axis=0)
    # Outcomes with equal statistics are equally extreme, so all of them count.
    last = np.searchsorted(-statistic[order], -statistic[order], side="right") - 1
    table = np.ones((images + 1, images + 1), dtype=np.float32)
    table[plus[order], minus[order]] = np.minimum(tails[last], 1.0)
    return table


@lru_cache(maxsize=8)
def _outcomes(images: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return all b and c with b + c ≤ n, and the logarithm of the number of ways to get each outcome."""
    plus, minus = np.divmod(np.arange((images + 1) ** 2), images + 1)
    possible = plus + minus <= images
    plus, minus = plus[possible], minus[possible]
    ways = gammaln(images + 1) - gammaln(plus + 1) - gammaln(minus + 1) - gammaln(images - plus - minus + 1)
    return plus, minus, ways


def _score(plus: np.ndarray, minus: np.ndarray, images: int, null: float) -> np.ndarray:
    """Return Tango's statistic: the difference from `null` over its standard error at the most likely shares under it."""
    b = -plus - minus + (2 * images - plus + minus) * null
    root = np.sqrt(np.maximum(b**2 + 8 * images * minus * null * (1 - null), 0.0))
    share = (root - b) / (4 * images)  # the share of −1; the share of +1 is larger by `null`
    variance = images * np.maximum(2 * share + null * (1 - null), 0.0)
    distance = plus - minus - images * null
    return np.divide(distance, np.sqrt(variance), out=np.zeros(len(variance)), where=variance > 1e-12)
