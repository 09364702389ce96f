"""What retraining alone does: networks beside others that were trained anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import stats

from saq_eval.analysis.statistics.estimates import CONFIDENCE, NETWORKS, Estimates
from saq_eval.analysis.statistics.means import mean_along, variance_of_rows


def _prediction(retrained: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the error with which one more retrained network is foreseen, and its degrees of freedom, NaN for too few."""
    trained = (~np.isnan(retrained)).sum(axis=1)
    enough = trained >= NETWORKS
    error = np.sqrt(variance_of_rows(retrained) * (1 + 1 / np.maximum(trained, 1)))
    return np.where(enough, error, np.nan), np.where(enough, trained - 1.0, np.nan)


def beside_retraining(found: Estimates, retrained: np.ndarray, rows: np.ndarray) -> Estimates:
    """Let rows, whose means are those of one network less the retrained networks', be tested by how these differ."""
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
    """Return "beyond" where a mean lies outside the retraining band, "within", or "" where that is not known.

    Args:
        mean: float (k,).
        retrained: float (k, r), NaN for networks that a row lacks; see `NETWORKS`.
        band: see `retraining_band`.
        fine: bool (k,), rows that are within wherever they lie: more alike than retrained networks is not beyond them.
    """
    low, high = band
    trained = (~np.isnan(retrained)).sum(axis=1)
    beyond = ((mean < low) | (mean > high)) & ~fine
    known = (trained >= NETWORKS) & ~np.isnan(mean)
    return np.where(known, np.where(beyond, "beyond", "within"), "").astype(object)


def jackknife(own: np.ndarray, between: np.ndarray) -> np.ndarray:
    """Return pseudo-values of mean(own) − mean(between), whose mean is that difference and whose spread its uncertainty.

    A retrained pair belongs to two networks, so pairs are not independent; networks are. Leaving one out leaves out
    its pairs too (Quenouille 1956, doi 10.1093/biomet/43.3-4.353).

    Args:
        own: float (networks, n), a value of each network and image.
        between: float (networks, networks, n), a value of each pair of networks; the diagonal does not count.

    Returns:
        float64 (networks, n): N times the difference, less N − 1 times that without the network; NaN for fewer than
        three networks, or where that is undefined.
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
