"""Means of scores with their standard errors, tests and intervals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import stats

from saq_eval.analysis.statistics import paired_binary
from saq_eval.analysis.statistics.means import mean_along, variance_of_rows
from saq_eval.analysis.statistics.skewness import skewness, with_skew, without_skew

CONFIDENCE = 0.95  # confidence of intervals
NETWORKS = 3  # the least number of networks for a verdict on a scheme or on retraining
Scope = Literal["network", "scheme"]


@dataclass(frozen=True)
class Estimates:
    """Means, and two test statistics for each mean; the more cautious statistic counts.

    A statistic is (mean − null) / error, corrected for skewness. It is compared with Student's t.

    Attributes:
        scope: (k,), "network" or "scheme".
        networks, images: int (k,), the number of networks and of images with a value.
        mean: float (k,); NaN if there is no value.
        error, freedom, skew: float (k, 2), for each statistic: the standard error, the degrees of freedom, and the images'
            skewness / √n (0 if the statistic is not corrected for skewness).
        between, within: float (k,), the variance between networks' means and between images' means.
        reach: float (k,), the largest possible difference of an image; it is used for rows in which nothing varies.
        counts: int (k, 2), the number of images with +1 and with −1, for rows with the exact test; −1 elsewhere.
    """

    scope: np.ndarray
    networks: np.ndarray
    images: np.ndarray
    mean: np.ndarray
    error: np.ndarray
    freedom: np.ndarray
    skew: np.ndarray
    between: np.ndarray
    within: np.ndarray
    reach: np.ndarray
    counts: np.ndarray

    def above(self, null: np.ndarray | float = 0.0) -> np.ndarray:
        """Return p-values of "mean ≤ null" against "mean > null": float64 (k,), NaN for fewer than two values."""
        null = np.broadcast_to(np.asarray(null, dtype=float), self.mean.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            statistic = without_skew((self.mean - null)[:, None] / self.error, self.skew)
            p_values = stats.t.sf(statistic, self.freedom).max(axis=1)
            still = np.exp(-self.images * np.maximum(self.mean - null, 0.0) / self.reach)
        still = np.where(self.mean > null, np.where(self.reach > 0, still, 0.0), 1.0)
        p_values = np.where(self.error.max(axis=1) == 0, still, p_values)
        for row in np.flatnonzero(self.counts[:, 0] >= 0):
            up, down = map(int, self.counts[row])
            p_values[row] = paired_binary.above(up, down, int(self.images[row]), float(null[row]))
        return np.where(self.images < 2, np.nan, p_values)

    def below(self, null: np.ndarray | float = 0.0) -> np.ndarray:
        """Return p-values of "mean ≥ null" against "mean < null"."""
        return self._turned().above(-np.asarray(null))

    def different(self) -> np.ndarray:
        """Return two-sided p-values of "mean = 0"; they always agree with the interval of `limits`."""
        return np.minimum(1.0, 2 * np.minimum(self.above(), self.below()))

    def limits(self, tail: np.ndarray | float = (1 - CONFIDENCE) / 2) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower and upper ends of intervals, each float64 (k,); NaN for fewer than two values.

        Args:
            tail: the probability that the mean lies beyond an end, for each end.
        """
        tail = np.broadcast_to(np.asarray(tail, dtype=float), self.mean.shape)
        return self._lower(tail), -self._turned()._lower(tail)

    def _lower(self, tail: np.ndarray) -> np.ndarray:
        quantile = stats.t.isf(tail[:, None], self.freedom)
        ends = (self.mean[:, None] - self.error * with_skew(quantile, self.skew)).min(axis=1)
        still = self.mean + self.reach * np.log(tail) / np.maximum(self.images, 1)
        ends = np.where(self.error.max(axis=1) == 0, still, ends)
        for row in np.flatnonzero(self.counts[:, 0] >= 0):
            up, down = map(int, self.counts[row])
            ends[row] = paired_binary.lower_limit(up, down, int(self.images[row]), float(tail[row]))
        return np.where(self.images < 2, np.nan, ends)

    def _turned(self) -> Estimates:
        return replace(self, mean=-self.mean, skew=-self.skew, counts=self.counts[:, ::-1])


def estimate(values: np.ndarray, reach: np.ndarray | None = None) -> Estimates:
    """Estimate the means of several rows, each in the scope that its number of networks allows.

    Args:
        values: float (k, n) for k rows and n images, or (k, networks, n). NaN marks undefined values; a network that a row
            does not have is all NaN. Fewer than `NETWORKS` networks are treated as fixed.
        reach: float (k,), the largest possible difference of an image; by default 0.
    """
    values = values[:, None] if values.ndim == 2 else values
    rows = len(values)
    reach = np.zeros(rows) if reach is None else reach
    by_network, by_image = mean_along(values, 2), mean_along(values, 1)
    networks = (~np.isnan(by_network)).sum(axis=1)
    images = (~np.isnan(by_image)).sum(axis=1)
    drawn = networks >= NETWORKS
    between, within = variance_of_rows(by_network), variance_of_rows(by_image)
    tiny = (1e-12 * np.maximum(reach, np.abs(np.nan_to_num(by_image)).max(axis=1, initial=0.0))) ** 2
    between, within = np.where(between > tiny, between, 0.0), np.where(within > tiny, within, 0.0)
    error, freedom = _errors(between, within, networks, images)
    skew = np.zeros((rows, 2))
    skew[~drawn, 1] = skewness(by_image[~drawn]) / np.sqrt(np.maximum(images[~drawn], 1))
    exact = _whole(by_image) & (networks == 1) & (reach == 1) & (images >= 2) & (images <= paired_binary.MOST_IMAGES)
    counts = np.stack([(by_image == 1).sum(axis=1), (by_image == -1).sum(axis=1)], axis=1)
    return Estimates(
        scope=np.where(drawn, "scheme", "network").astype(object),
        networks=networks,
        images=images,
        mean=np.where(drawn, mean_along(by_network, 1), mean_along(by_image, 1)),
        error=error,
        freedom=freedom,
        skew=skew,
        between=between,
        within=within,
        reach=reach,
        counts=np.where(exact[:, None], counts, -1),
    )


def _errors(
    between: np.ndarray, within: np.ndarray, networks: np.ndarray, images: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the standard errors and the degrees of freedom of the two statistics, each float64 (k, 2); see `Estimates`."""
    parts = np.stack([between / np.maximum(networks, 1), within / np.maximum(images, 1)])
    freedoms = np.maximum(np.stack([networks, images]) - 1, 1)
    both = parts.sum(axis=0)
    squares = (parts**2 / freedoms).sum(axis=0)
    satterthwaite = np.divide(both**2, squares, out=np.ones(len(between)), where=squares > 0)
    over_networks = np.stack([both, parts[0]], axis=1), np.stack([satterthwaite, freedoms[0]], axis=1)
    over_images = np.stack([parts[1]] * 2, axis=1), np.stack([freedoms[1]] * 2, axis=1)
    drawn = (networks >= NETWORKS)[:, None]
    squared, freedom = (np.where(drawn, a, b) for a, b in zip(over_networks, over_images, strict=True))
    return np.sqrt(squared), freedom.astype(float)


def _whole(values: np.ndarray) -> np.ndarray:
    """Return which rows hold only −1, 0, 1 and NaN, like differences of scores of 0 and 1: bool (k,)."""
    with np.errstate(invalid="ignore"):
        return (np.isnan(values) | np.isin(values, (-1.0, 0.0, 1.0))).all(axis=1)


def intervals(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return means and the lower and upper ends of their 95 % intervals, each float64 (k,); see `estimate`."""
    found = estimate(values)
    return found.mean, *found.limits()
