"""The effect of retraining alone: networks compared with retrained networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import stats

from saq_eval.analysis.statistics.estimates import CONFIDENCE, NETWORKS, Estimates
from saq_eval.analysis.statistics.means import mean_along, variance_of_rows


def _prediction(retrained: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the prediction error for one more retrained network and its degrees of freedom; NaN for too few networks."""
    trained = (~np.isnan(retrained)).sum(axis=1)
    enough = trained >= NETWORKS
    error = np.sqrt(variance_of_rows(retrained) * (1 + 1 / np.maximum(trained, 1)))
    return np.where(enough, error, np.nan), np.where(enough, trained - 1.0, np.nan)


def beside_retraining(found: Estimates, retrained: np.ndarray, rows: np.ndarray) -> Estimates:
    """Make the chosen rows be tested by the spread between retrained networks.

    The means of these rows are one network's mean minus the retrained networks' mean.
    """
    error, freedom = _prediction(retrained)
    several = found.networks > 1
    error, freedom = (np.where(several, np.nan, values)[:, None] for values in (error, freedom))
    chosen = rows[:, None]
    return replace(
        found,
        error=np.where(chosen, error, found.error),
        freedom=np.where(chosen, freedom, found.freedom),
        skew=np.where(chosen, 0.0, found.skew),
        counts=np.where(chosen, -1, found.counts),
    )


def retraining_band(retrained: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the retraining band, each float64 (k,); see `Effects`."""
    error, freedom = _prediction(retrained)
    middle, half = mean_along(retrained, 1), stats.t.isf((1 - CONFIDENCE) / 2, freedom) * error
    low, high = np.full((2, len(retrained)), np.nan)
    some = ~np.isnan(middle)
    if some.any():
        low[some], high[some] = np.nanmin(retrained[some], axis=1), np.nanmax(retrained[some], axis=1)
    low, high = (np.where(np.isnan(half), end, middle + sign * half) for end, sign in ((low, -1), (high, 1)))
    return np.minimum(low, 0.0), np.maximum(high, 0.0)


def beyond_retraining(
    mean: np.ndarray, retrained: np.ndarray, band: tuple[np.ndarray, np.ndarray], fine: np.ndarray
) -> np.ndarray:
    """Return "beyond" if a mean lies outside the retraining band, else "within"; "" if it is not known.

    Args:
        mean: float (k,).
        retrained: float (k, r), NaN for networks that a row lacks; see `NETWORKS`.
        band: see `retraining_band`.
        fine: bool (k,), rows that always count as "within": maps more similar than those of retrained networks are not
            beyond the band.
    """
    low, high = band
    trained = (~np.isnan(retrained)).sum(axis=1)
    beyond = ((mean < low) | (mean > high)) & ~fine
    known = (trained >= NETWORKS) & ~np.isnan(mean)
    return np.where(known, np.where(beyond, "beyond", "within"), "").astype(object)


def jackknife(own: np.ndarray, between: np.ndarray) -> np.ndarray:
    """Return jackknife pseudo-values of mean(own) − mean(between).

    The spread of the pseudo-values gives the uncertainty of this difference. Networks are independent, but pairs of
    networks are not, because pairs share networks. So one network is left out at a time, together with its pairs
    (Quenouille 1956, doi 10.1093/biomet/43.3-4.353).

    Args:
        own: float (networks, n), a value for each network and image.
        between: float (networks, networks, n), a value for each pair of networks; the diagonal does not count.

    Returns:
        float64 (networks, n): N times the difference minus N − 1 times the difference without the network; NaN for fewer
        than three networks, or if a difference is undefined.
    """
    networks = len(own)
    if networks < NETWORKS:
        return np.full(own.shape, np.nan)
    pairs = np.array(between, dtype=float)
    pairs[np.arange(networks), np.arange(networks)] = np.nan

    def difference(kept: np.ndarray) -> np.ndarray:
        return mean_along(own[kept], 0) - mean_along(pairs[np.ix_(kept, kept)].reshape(-1, own.shape[1]), 0)

    everyone = np.arange(networks)
    whole = difference(everyone)
    return np.stack([networks * whole - (networks - 1) * difference(np.delete(everyone, one)) for one in everyone])
