"""From scores per image, and per seed where there are several, to intervals, tests and verdicts.

What is compared is always paired: a network's score minus another's on the same image. All functions take
many comparisons at once, one per row, and leave out NaN, which marks an undefined score.

- **Interval.** The percentile bootstrap over images (Efron 1979, doi 10.1214/aos/1176344552). Over several seeds
  it resamples seeds and images, both with replacement (the pigeonhole bootstrap, Owen 2007, arXiv 0712.1111): the
  images are the same for all seeds, so they are not drawn anew within each. Of three seeds it knows too little of how
  seeds differ, so there its ends are moved outwards by as much as Student's t is wider than the normal distribution,
  at the degrees of freedom of the test below.
- **p-value.** Of no difference, two-sided. Over images, of the paired permutation test that flips differences'
  signs; where none of its 9,999 patterns reaches the difference, of the paired t-test, since a p-value of 1e-4 would not
  survive the correction for thousands of tests. Three seeds have but eight patterns of signs, so over several
  seeds it is that of a t-test whose variance adds what differs between seeds and between images, with Satterthwaite's
  degrees of freedom (1946, doi 10.2307/3002019): two, if it is the seeds that differ; in about eight of a hundred cases
  instead of five, three such seeds show a difference that is none.
- **Effect size.** The difference over the standard deviation of the baseline's scores between images (Glass's Δ).
- **Equivalence.** Two one-sided tests (Schuirmann 1987, doi 10.1007/BF01068419) against a margin of ± `MARGIN` of
  that standard deviation: by Cohen's convention, a small effect. Similarities to the baseline's maps are compared
  with those that retrained networks reach, but equivalent means the same maps: that they went less than `SAME_MAPS`
  of the way from identical to unrelated ones.
- **Few images.** Fewer than `ENOUGH` give no verdict but "too few images": three hits against three hits are no
  evidence of sameness.
- **Many tests.** p-values of a table are adjusted to hold the false discovery rate (Benjamini and Hochberg 1995),
  those of equivalence by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from scipy import stats

RESAMPLES = 2000
PERMUTATIONS = 9999
CONFIDENCE = 0.95
LEVEL = 0.05
ENOUGH = 10
MARGIN = 0.2
SAME_MAPS = 0.05
TOO_FEW = "too few images"
Verdict = Literal["worse", "better", "no evidence", "equivalent", "too few images", ""]


def defined_mean(values: np.ndarray) -> float:
    """Return the mean of the values that are not NaN; NaN if there is none."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else np.nan


def mean_of(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean of arrays of one shape, place by place, over those that are defined there; NaN where none is."""
    stacked = np.stack(arrays)
    defined = ~np.isnan(stacked)
    total = np.where(defined, stacked, 0.0).sum(axis=0)
    return np.divide(total, defined.sum(axis=0), out=np.full(total.shape, np.nan), where=defined.any(axis=0))


def spread(values: np.ndarray) -> float:
    """Return the standard deviation of the values that are not NaN; 0 for fewer than two."""
    defined = values[~np.isnan(values)]
    return float(defined.std(ddof=1)) if len(defined) >= 2 else 0.0


def intervals(values: np.ndarray, seed: int, level: float = CONFIDENCE) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return means over images (and seeds) and their bootstrap intervals.

    Args:
        values: float (k, n), of k comparisons and n images, or (k, seeds, n); NaN where undefined.
        seed: of the 2,000 resamples, the same for all comparisons.
        level: of confidence.

    Returns:
        Means, lower and upper ends, each float64 (k,). The ends are NaN for fewer than two values, means for none.
    """
    values = _with_seeds(values)
    defined = ~np.isnan(values)
    filled = np.where(defined, values, 0.0)
    images, seeds = _draws(values.shape[2], values.shape[1], seed)
    count = defined.sum(axis=(1, 2))
    means = np.divide(filled.sum(axis=(1, 2)), count, out=np.full(len(values), np.nan), where=count > 0)
    low, high = np.full((2, len(values)), np.nan)
    tails = [50 * (1 - level), 50 * (1 + level)]
    for start in range(0, len(values), 100):  # in parts, for memory's sake
        rows = start + np.flatnonzero(count[start : start + 100] >= 2)
        # Over seeds and images: Σ_s Σ_i seeds[r, s] · value[k, s, i] · images[r, i], of values and of whether they are defined.
        total, weight = (
            np.einsum("rs,ksr->kr", seeds, part[rows] @ images.T, optimize=True)
            for part in (filled, defined.astype(float))
        )
        drawn = np.divide(total, weight, out=np.full(total.shape, np.nan), where=weight > 0)
        if len(rows):
            low[rows], high[rows] = np.nanpercentile(drawn, tails, axis=1)
    several = defined.any(axis=2).sum(axis=1) > 1
    if several.any():
        _, freedom = _standard_errors(values)
        wider = stats.t.ppf(0.5 + level / 2, freedom) / stats.norm.ppf(0.5 + level / 2)
        stretch = np.where(several, wider, 1.0)
        low, high = means - stretch * (means - low), means + stretch * (high - means)
    return means, low, high


def _with_seeds(values: np.ndarray) -> np.ndarray:
    return values[:, None] if values.ndim == 2 else values


def _only_seed(values: np.ndarray) -> np.ndarray:
    """Return the one seed's values of rows that have one: (k, seeds, n) -> (k, n)."""
    first = (~np.isnan(values)).any(axis=2).argmax(axis=1)
    return values[np.arange(len(values)), first]


def _draws(images: int, seeds: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how often each image and each seed is drawn in each resample: float (resamples, images), (resamples, seeds)."""
    rng = np.random.default_rng(seed)
    return tuple(rng.multinomial(size, np.full(size, 1 / size), RESAMPLES).astype(float) for size in (images, seeds))


def sign_flip_p_values(differences: np.ndarray, seed: int) -> np.ndarray:
    """Return two-sided p-values of a mean of 0: how often random signs give a sum as large.

    Args:
        differences: float (k, n); NaN where undefined.
        seed: of 9,999 patterns of signs, the same for all comparisons.

    Returns:
        float64 (k,), up to 1, which it is where all differences are 0; NaN for fewer than two.
    """
    filled = np.nan_to_num(differences)
    rng = np.random.default_rng(seed)
    exceeded = np.zeros(len(filled))
    observed = np.abs(filled.sum(axis=1))
    tolerance = 1e-12 * np.abs(filled).sum(axis=1)
    for _ in range(PERMUTATIONS // 1111):  # in parts, for memory's sake
        signs = 2.0 * rng.integers(0, 2, (1111, filled.shape[1])) - 1
        exceeded += (np.abs(signs @ filled.T) >= observed - tolerance).sum(axis=0)
    p_values = (exceeded + 1) / (PERMUTATIONS + 1)
    beyond = np.flatnonzero(exceeded == 0)
    if len(beyond):
        tail = stats.ttest_1samp(differences[beyond], 0.0, axis=1, nan_policy="omit").pvalue
        p_values[beyond] = np.fmin(p_values[beyond], np.asarray(tail))
    few = (~np.isnan(differences)).sum(axis=1) < 2
    return np.where(few, np.nan, p_values)


def _standard_errors(differences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return standard errors of means over (k, seeds, n) and their degrees of freedom, each (k,); see the module."""
    parts, freedoms = [], []
    for axis in (1, 2):  # means per image, over images; means per seed, over seeds
        defined = ~np.isnan(differences)
        count = defined.sum(axis=axis)
        means = np.divide(
            np.where(defined, differences, 0.0).sum(axis=axis), count, out=np.full(count.shape, np.nan), where=count > 0
        )
        number = (~np.isnan(means)).sum(axis=1)
        enough = number >= 2
        variance = np.zeros(len(means))
        variance[enough] = np.nanvar(means[enough], axis=1, ddof=1) / number[enough]
        parts.append(variance)
        freedoms.append(np.maximum(number - 1, 1))
    total = parts[0] + parts[1]
    squares = sum(part**2 / freedom for part, freedom in zip(parts, freedoms, strict=True))
    freedom = np.divide(total**2, squares, out=np.ones(len(total)), where=squares > 0)
    return np.sqrt(total), freedom


@dataclass(frozen=True)
class Effects:
    """Differences to a baseline, one per row: each attribute an array (k,).

    Attributes:
        n: differences that are defined; over several seeds, images with one.
        delta: their mean.
        delta_ci_low, delta_ci_high: its 95 % interval.
        p_value, p_adjusted: of no difference, as it is and adjusted to the table.
        effect_size: delta in standard deviations of the baseline's scores; NaN where these do not vary.
        margin: within which a difference counts as none, in the metric's unit.
        p_equivalence: of a difference beyond the margin, adjusted.
        verdict: "equivalent" where p_equivalence is below 5 %, else "worse" or "better" where p_adjusted is,
            else "no evidence"; "too few images" where there are fewer than ten; "" where maps are alike in part
            and there is nothing to compare that with.
    """

    n: np.ndarray
    delta: np.ndarray
    delta_ci_low: np.ndarray
    delta_ci_high: np.ndarray
    p_value: np.ndarray
    p_adjusted: np.ndarray
    effect_size: np.ndarray
    margin: np.ndarray
    p_equivalence: np.ndarray
    verdict: np.ndarray

    def columns(self) -> dict[str, np.ndarray]:
        """Return the attributes by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def compare_paired(
    differences: np.ndarray,
    spread: np.ndarray,
    higher_is_better: np.ndarray,
    seed: int,
    *,
    margin: float = MARGIN,
    family: np.ndarray | None = None,
    distance: np.ndarray | None = None,
) -> Effects:
    """Compare scores with a baseline's, image by image.

    Args:
        differences: float (k, n) or (k, seeds, n), score minus the baseline's; NaN where undefined, throughout for a
            seed that a comparison does not have. Each row is tested by what it has: one seed, or several.
        spread: float (k,), standard deviation of the baseline's scores over images.
        higher_is_better: bool (k,).
        seed: of resamples and signs.
        margin: in standard deviations of the baseline's scores.
        family: int (k,), which comparisons are adjusted together; those of family −1, such as a baseline's with
            itself, are not. By default all make one family.
        distance: float, as differences: how far maps are from identical, as a share of the way to unrelated ones.
            Where it is given (not NaN), equivalence is judged by it instead of the difference, against
            `SAME_MAPS`.
    """
    values = _with_seeds(differences)
    family = np.zeros(len(values), dtype=int) if family is None else family
    delta, low, high = intervals(values, seed)
    count = (~np.isnan(values)).any(axis=1).sum(axis=1)
    error, freedom = _standard_errors(values)
    several = (~np.isnan(values)).any(axis=2).sum(axis=1) > 1
    p_value = np.where(count < 2, np.nan, 2 * _tail(np.abs(delta), error, freedom, of_nothing=0.5))
    p_value[~several] = sign_flip_p_values(_only_seed(values[~several]), seed)
    margins = margin * spread
    judged, enough = (delta, error, freedom), count.copy()
    if distance is not None:
        away = _with_seeds(distance)
        given = (~np.isnan(away)).sum(axis=(1, 2)) >= 2
        means = np.array([defined_mean(row) for row in away])
        judged = tuple(
            np.where(given, new, old) for new, old in zip((means, *_standard_errors(away)), judged, strict=True)
        )
        margins = np.where(given, SAME_MAPS, margins)
        enough = np.where(given, (~np.isnan(away)).any(axis=1).sum(axis=1), enough)
    # Schuirmann's two tests; the larger p-value counts.
    p_equivalence = _tail(margins - np.abs(judged[0]), *judged[1:], of_nothing=0.0)
    p_adjusted = adjust(p_value, family)
    p_equivalence = adjust(np.where(enough < 2, np.nan, p_equivalence), family)
    with np.errstate(divide="ignore", invalid="ignore"):
        effect_size = np.where(spread > 0, delta / spread, np.nan)
    found = np.where((delta > 0) == higher_is_better, "better", "worse")
    verdict = np.select(
        [enough < ENOUGH, p_equivalence < LEVEL, count == 0, count < ENOUGH, p_adjusted < LEVEL],
        [TOO_FEW, "equivalent", "", TOO_FEW, found],
        "no evidence",
    ).astype(object)
    return Effects(count, delta, low, high, p_value, p_adjusted, effect_size, margins, p_equivalence, verdict)


def _tail(distance: np.ndarray, error: np.ndarray, freedom: np.ndarray, of_nothing: float) -> np.ndarray:
    """Return P(T ≥ distance / error) of Student's t.

    Where nothing varies: 0 for a distance above 0, 1 below, and `of_nothing` for a distance of 0.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        tail = stats.t.sf(distance / error, freedom)
    certain = np.select([distance > 0, distance < 0], [0.0, 1.0], of_nothing)
    return np.where(error > 0, tail, certain)


def adjust(p_values: np.ndarray, family: np.ndarray) -> np.ndarray:
    """Return p-values adjusted to hold the false discovery rate within each family; family −1 and NaN are left as they are.

    Args:
        p_values: float (k,).
        family: int (k,).
    """
    adjusted = p_values.copy()
    for one in set(family.tolist()) - {-1}:
        members = (family == one) & ~np.isnan(p_values)
        if members.any():
            adjusted[members] = stats.false_discovery_control(p_values[members])
    return adjusted


def direction(low: float, high: float, higher_is_better: bool) -> str:
    """Say what the interval of a difference shows: "better", "worse", "unclear" where it holds 0, "" where there is none.

    Example: `direction(0.1, 0.3, higher_is_better=False)` is "worse".
    """
    if not (np.isfinite(low) and np.isfinite(high)):
        return ""
    if low <= 0 <= high:
        return "unclear"
    return "better" if (low > 0) == higher_is_better else "worse"
