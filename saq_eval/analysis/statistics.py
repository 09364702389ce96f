"""From scores per image, and per network where there are several, to intervals, tests and verdicts.

What is compared is always paired: a network's score minus another's on the same image. All functions take many
comparisons at once, one per row, and leave out NaN, which marks an undefined score. `docs/statistics.md` gives the
measured error rates.

- **Scope.** *This network*: the networks are fixed, the images are drawn; what is found holds of these networks. *This
  scheme*: networks are drawn too, so it holds of networks that are trained so; it takes `NETWORKS` of them at least.
- **Over images.** Student's t, and the same corrected for skewness (Hall 1992, doi 10.2307/2345743): the larger
  p-value, the wider interval. (Random signs, studentised or not, take the differences to be symmetric.) Scores of 0 and
  1 get an exact test, see `saq_eval.analysis.paired_binary`.
- **Over networks.** Student's t of the networks' means, and that whose variance adds what differs between networks and
  between images, with Satterthwaite's degrees of freedom (1946, doi 10.2307/3002019): the larger p-value, the wider
  interval. The images are the same for all networks, so they are drawn once, not anew within each.
- **Where nothing varies**, the rule of three (Hanley and Lippman-Hand 1983, doi 10.1001/jama.1983.03330370053031): n
  images without a difference leave room for one in 3/n of all images.
- **Retraining.** One network against R that were trained anew: a prediction interval, with the variance s²(1 + 1/R) and
  R − 1 degrees of freedom; none for fewer than `NETWORKS`.
- **Effect size.** The difference over the standard deviation of the baseline's scores between images (Glass's Δ).
- **Equivalence.** Two one-sided tests (Schuirmann 1987, doi 10.1007/BF01068419) against a margin of ± `MARGIN` of
  that standard deviation: by Cohen's convention, a small effect. Similarities to the baseline's maps are compared
  with those that retrained networks reach, but equivalent means the same maps: that they went less of the way from
  identical to unrelated ones than invisible noise in the images makes maps go, or less than `SAME_MAPS` of it. A
  difference may be certain and within the margin: both are said.
- **Few images.** Fewer than `ENOUGH` give no verdict but "too few images".
- **Many tests.** p-values of a family are adjusted to hold the false discovery rate (Benjamini and Hochberg 1995), and
  families that stand together in a group are first tested against each other (Benjamini and Bogomolov 2014, doi
  10.1111/rssb.12028); those of equivalence by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np
from scipy import stats

from saq_eval.analysis import paired_binary
from saq_eval.evaluation.plan import MARGIN

CONFIDENCE = 0.95
LEVEL = 0.05
ENOUGH = 30  # images, for a verdict
NETWORKS = 3  # for a verdict on a scheme, or on retraining
SAME_MAPS = 0.05
MOST_NEEDED = 100  # networks, or times the images, that are looked through for the number that would decide
TOO_FEW = "too few images"
Scope = Literal["network", "scheme"]
Verdict = Literal[
    "worse",
    "better",
    "worse, but within the margin",
    "better, but within the margin",
    "negligible",
    "undecided",
    "too few images",
    "",
]


def defined_mean(values: np.ndarray) -> float:
    """Return the mean of the values that are not NaN; NaN if there is none."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else np.nan


def mean_of(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean of arrays of one shape, place by place, over those that are defined there; NaN where none is."""
    return _mean(np.stack(arrays), 0)


def spread(values: np.ndarray) -> float:
    """Return the standard deviation of the values that are not NaN; 0 for fewer than two."""
    defined = values[~np.isnan(values)]
    return float(defined.std(ddof=1)) if len(defined) >= 2 else 0.0


def spread_of_scores(values: np.ndarray) -> float:
    """Return the standard deviation of scores between images; of scores 0 and 1, what it may be where none varies.

    That of a share of 3/n: n images that are all right leave room for so many that are not.
    """
    defined = values[~np.isnan(values)]
    least = 0.0
    if len(defined) > 3 and np.isin(defined, (0.0, 1.0)).all():
        share = 3 / len(defined)
        least = float(np.sqrt(share * (1 - share)))
    return max(spread(values), least)


def reach(values: np.ndarray) -> float:
    """Return how far the values that are not NaN lie apart at most; 0 for none."""
    defined = values[~np.isnan(values)]
    return float(np.ptp(defined)) if len(defined) else 0.0


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    defined = ~np.isnan(values)
    total, count = np.where(defined, values, 0.0).sum(axis=axis), defined.sum(axis=axis)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _variance(values: np.ndarray) -> np.ndarray:
    """Return the variance of each row's values; 0 for fewer than two."""
    enough = (~np.isnan(values)).sum(axis=1) >= 2
    variance = np.zeros(len(values))
    if enough.any():
        variance[enough] = np.nanvar(values[enough], axis=1, ddof=1)
    return variance


@dataclass(frozen=True)
class Estimates:
    """Means, and two statistics for each by which it is tested; the more cautious one counts.

    A statistic is (mean − null) / error, whose skewness is taken off, and is compared with Student's t.

    Attributes:
        scope: (k,), "network" or "scheme".
        networks, images: int (k,), how many there are with a value.
        mean: float (k,); NaN for none.
        error, freedom, skew: float (k, 2), of each statistic: standard error, degrees of freedom, the images'
            skewness / √n (0 where it is not taken off).
        between, within: float (k,), the variance between networks' means and between images' means.
        reach: float (k,), what an image may differ by, for rows in which nothing varies.
        counts: int (k, 2), images with +1 and −1, of rows that get the exact test; −1 elsewhere.
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
        """Return p-values of a mean of at most `null`, against a larger one: float64 (k,), NaN for fewer than two values."""
        null = np.broadcast_to(np.asarray(null, dtype=float), self.mean.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            statistic = _without_skew((self.mean - null)[:, None] / self.error, self.skew)
            p_values = stats.t.sf(statistic, self.freedom).max(axis=1)
            still = np.exp(-self.images * np.maximum(self.mean - null, 0.0) / self.reach)
        still = np.where(self.mean > null, np.where(self.reach > 0, still, 0.0), 1.0)
        p_values = np.where(self.error.max(axis=1) == 0, still, p_values)
        for row in np.flatnonzero(self.counts[:, 0] >= 0):
            up, down = map(int, self.counts[row])
            p_values[row] = paired_binary.above(up, down, int(self.images[row]), float(null[row]))
        return np.where(self.images < 2, np.nan, p_values)

    def below(self, null: np.ndarray | float = 0.0) -> np.ndarray:
        """Return p-values of a mean of at least `null`, against a smaller one."""
        return self._turned().above(-np.asarray(null))

    def different(self) -> np.ndarray:
        """Return two-sided p-values of a mean of 0; that of the interval by `limits`, so that the two never disagree."""
        return np.minimum(1.0, 2 * np.minimum(self.above(), self.below()))

    def limits(self, tail: np.ndarray | float = (1 - CONFIDENCE) / 2) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends of intervals, each of which the mean lies beyond with the probability `tail`: float64 (k,).

        NaN for fewer than two values.
        """
        tail = np.broadcast_to(np.asarray(tail, dtype=float), self.mean.shape)
        return self._lower(tail), -self._turned()._lower(tail)

    def _lower(self, tail: np.ndarray) -> np.ndarray:
        quantile = stats.t.isf(tail[:, None], self.freedom)
        ends = (self.mean[:, None] - self.error * _with_skew(quantile, self.skew)).min(axis=1)
        still = self.mean + self.reach * np.log(tail) / np.maximum(self.images, 1)
        ends = np.where(self.error.max(axis=1) == 0, still, ends)
        for row in np.flatnonzero(self.counts[:, 0] >= 0):
            up, down = map(int, self.counts[row])
            ends[row] = paired_binary.lower_limit(up, down, int(self.images[row]), float(tail[row]))
        return np.where(self.images < 2, np.nan, ends)

    def _turned(self) -> Estimates:
        return replace(self, mean=-self.mean, skew=-self.skew, counts=self.counts[:, ::-1])


def estimate(values: np.ndarray, reach: np.ndarray | None = None) -> Estimates:
    """Estimate the means of several rows, each in the scope that its networks allow.

    Args:
        values: float (k, n), of k rows and n images, or (k, networks, n); NaN where undefined, throughout for a network
            that a row does not have. Fewer than `NETWORKS` are taken to be fixed.
        reach: float (k,), what an image may differ by; by default nothing.
    """
    values = values[:, None] if values.ndim == 2 else values
    rows = len(values)
    reach = np.zeros(rows) if reach is None else reach
    by_network, by_image = _mean(values, 2), _mean(values, 1)
    networks = (~np.isnan(by_network)).sum(axis=1)
    images = (~np.isnan(by_image)).sum(axis=1)
    drawn = networks >= NETWORKS
    between, within = _variance(by_network), _variance(by_image)
    tiny = (1e-12 * np.maximum(reach, np.abs(np.nan_to_num(by_image)).max(axis=1, initial=0.0))) ** 2
    between, within = np.where(between > tiny, between, 0.0), np.where(within > tiny, within, 0.0)
    parts = np.stack([between / np.maximum(networks, 1), within / np.maximum(images, 1)])
    freedoms = np.maximum(np.stack([networks, images]) - 1, 1)
    both = parts.sum(axis=0)
    squares = (parts**2 / freedoms).sum(axis=0)
    satterthwaite = np.divide(both**2, squares, out=np.ones(rows), where=squares > 0)
    over_networks = np.stack([both, parts[0]], axis=1), np.stack([satterthwaite, freedoms[0]], axis=1)
    over_images = np.stack([parts[1]] * 2, axis=1), np.stack([freedoms[1]] * 2, axis=1)
    squared, freedom = (np.where(drawn[:, None], a, b) for a, b in zip(over_networks, over_images, strict=True))
    skew = np.zeros((rows, 2))
    skew[~drawn, 1] = _skewness(by_image[~drawn]) / np.sqrt(np.maximum(images[~drawn], 1))
    with np.errstate(invalid="ignore"):
        whole = (np.isnan(by_image) | np.isin(by_image, (-1.0, 0.0, 1.0))).all(axis=1)
    exact = (networks == 1) & whole & (reach == 1) & (images >= 2) & (images <= paired_binary.MOST_IMAGES)
    counts = np.stack([(by_image == 1).sum(axis=1), (by_image == -1).sum(axis=1)], axis=1)
    return Estimates(
        scope=np.where(drawn, "scheme", "network").astype(object),
        networks=networks,
        images=images,
        mean=np.where(drawn, _mean(by_network, 1), _mean(by_image, 1)),
        error=np.sqrt(squared),
        freedom=freedom.astype(float),
        skew=skew,
        between=between,
        within=within,
        reach=reach,
        counts=np.where(exact[:, None], counts, -1),
    )


def intervals(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return means, lower and upper ends of their 95 % intervals, each float64 (k,); see `estimate`."""
    found = estimate(values)
    return found.mean, *found.limits()


def _skewness(values: np.ndarray) -> np.ndarray:
    """Return Σ(x − mean)³/n over the standard deviation³, of each row (k, n); 0 where nothing varies."""
    away = values - _mean(values, 1)[:, None]
    second, third = _mean(away**2, 1), _mean(away**3, 1)
    return np.divide(third, second**1.5, out=np.zeros(len(values)), where=second > 1e-24)


def _without_skew(statistic: np.ndarray, skew: np.ndarray) -> np.ndarray:
    """Return Hall's transformation of Student's statistic, which is monotone: g(T) = T + γ(T² / 3 + 1/6) + γ²T³ / 27."""
    return statistic + skew * (statistic**2 / 3 + 1 / 6) + skew**2 * statistic**3 / 27


def _with_skew(quantile: np.ndarray, skew: np.ndarray) -> np.ndarray:
    """Return the statistic whose transformation by `_without_skew` is a quantile."""
    safe = np.where(np.abs(skew) > 1e-9, skew, 1.0)
    return np.where(np.abs(skew) > 1e-9, 3 / safe * (np.cbrt(1 + safe * (quantile - safe / 6)) - 1), quantile)


@dataclass(frozen=True)
class Effects:
    """Differences to what networks are compared with, one per row: each attribute an array (k,).

    Attributes:
        scope: "network" where the networks are fixed, "scheme" where they are drawn.
        n: images with a difference.
        delta: their mean.
        delta_ci_low, delta_ci_high: its 95 % interval.
        p_value, p_adjusted: of no difference, as it is and adjusted to the family.
        effect_size: delta in standard deviations of the baseline's scores; NaN where these do not vary.
        margin: within which a difference counts as negligible, in the metric's unit; of similarities, how far from identical
            maps may be, as a share of the way to unrelated ones.
        p_equivalence: of a difference beyond the margin, adjusted.
        verdict: "worse" or "better" where p_adjusted is below 5 %, with "but within the margin" where p_equivalence is,
            too; else "negligible" where that is, else "undecided"; "too few images" below `ENOUGH`; "" where there is
            nothing to compare with.
        retrained: how many retrained networks there are.
        retraining_low, retraining_high: the retraining band: where the difference of one more retrained network lies with
            95 % probability, stretched to hold 0; of fewer than three networks, their range; NaN without any.
        retraining: "beyond" where delta lies outside that band, "within", or "" for fewer than three networks.
        networks_needed, images_needed: about how many would decide what is undecided, if all else stays; NaN where more than
            a hundred networks, or a hundred times the images, would be needed.
        estimates: what all of them rest on.
    """

    scope: np.ndarray
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
    retrained: np.ndarray
    retraining_low: np.ndarray
    retraining_high: np.ndarray
    retraining: np.ndarray
    networks_needed: np.ndarray
    images_needed: np.ndarray
    estimates: Estimates

    def columns(self) -> dict[str, np.ndarray]:
        """Return the arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "estimates"}


def compare_paired(
    differences: np.ndarray,
    spread: np.ndarray,
    higher_is_better: np.ndarray,
    *,
    margin: float = MARGIN,
    family: np.ndarray | None = None,
    group: np.ndarray | None = None,
    reach: np.ndarray | None = None,
    distance: np.ndarray | None = None,
    allowed: np.ndarray | None = None,
    retrained: np.ndarray | None = None,
    by_retraining: np.ndarray | None = None,
) -> Effects:
    """Compare scores with others, image by image.

    Args:
        differences: float (k, n) or (k, networks, n), score minus the other's; see `estimate`.
        spread: float (k,), standard deviation of the baseline's scores over images.
        higher_is_better: bool (k,).
        margin: in standard deviations of the baseline's scores.
        family: int (k,), which comparisons are adjusted together; those of family −1, such as a baseline's with
            itself, are not. By default all make one family.
        group: int (k,), which families stand together; see `adjust`.
        reach: float (k,), how far scores lie apart, what an image may differ by; by default nothing.
        distance: float, as differences: how far maps are from identical, as a share of the way to unrelated ones.
            Where it is given (not NaN), equivalence is judged by it instead of the difference.
        allowed: float, as distance: how far invisible noise moves maps. Where that is further than `SAME_MAPS`, it is
            what the distance is held against, image by image; else `SAME_MAPS`.
        retrained: float (k, r), the mean differences of retrained networks; NaN for those that a row lacks.
        by_retraining: bool (k,), rows of one network whose difference is to the retrained networks' mean, so that it is
            tested by how far these lie apart.
    """
    count = len(differences)
    found = estimate(differences, reach)
    margins = margin * spread
    family = np.zeros(count, dtype=int) if family is None else family
    retrained = np.full((count, 1), np.nan) if retrained is None else retrained
    by_retraining = np.zeros(count, dtype=bool) if by_retraining is None else by_retraining
    by_retraining = by_retraining & (found.scope == "network")
    trained = (~np.isnan(retrained)).sum(axis=1)
    found = _beside_retraining(found, retrained, by_retraining)
    band_low, band_high = _retraining_band(retrained)
    low, high = found.limits()
    p_value = found.different()
    judged, images = found, found.images
    given = np.zeros(count, dtype=bool)
    p_equivalence = np.fmax(found.above(-margins), found.below(margins))
    if distance is not None:
        noise = np.full(distance.shape, np.nan) if allowed is None else allowed
        moved = np.array([defined_mean(row.ravel()) for row in noise])
        far = np.nan_to_num(moved) > SAME_MAPS
        limits = np.where(far.reshape(-1, *[1] * (distance.ndim - 1)), noise, SAME_MAPS)
        judged = estimate(distance - limits, np.ones(count))
        given = judged.images >= 2
        margins = np.where(given, np.where(far, moved, SAME_MAPS), margins)
        images = np.where(given, judged.images, images)
        p_equivalence = np.where(given, judged.below(), p_equivalence)
    p_equivalence = np.where(by_retraining & ~given, np.nan, p_equivalence)
    p_adjusted, p_equivalence = adjust(p_value, family, group), adjust(p_equivalence, family, group)
    with np.errstate(divide="ignore", invalid="ignore"):
        effect_size = np.where(spread > 0, found.mean / spread, np.nan)
        certain, negligible = p_adjusted < LEVEL, p_equivalence < LEVEL
        found_better = (found.mean > 0) == higher_is_better
        outside = (found.mean < band_low) | (found.mean > band_high)
    direction = np.where(found_better, "better", "worse").astype(object)
    verdict = np.select(
        [
            images < ENOUGH,
            negligible & given,  # the same maps are of course more alike than those of retrained networks
            certain & negligible,
            certain,
            negligible,
            np.isnan(p_value),
        ],
        [TOO_FEW, "negligible", direction + ", but within the margin", direction, "negligible", ""],
        "undecided",
    ).astype(object)
    beyond = outside & ~(by_retraining & found_better)
    retraining = np.where(trained < NETWORKS, "", np.where(beyond, "beyond", "within")).astype(object)
    retraining[np.isnan(found.mean)] = ""
    networks_needed, images_needed = _needed(found, margins, open=(verdict == "undecided") & ~by_retraining & ~given)
    return Effects(
        scope=found.scope,
        n=found.images,
        delta=found.mean,
        delta_ci_low=low,
        delta_ci_high=high,
        p_value=p_value,
        p_adjusted=p_adjusted,
        effect_size=effect_size,
        margin=margins,
        p_equivalence=p_equivalence,
        verdict=verdict,
        retrained=trained,
        retraining_low=band_low,
        retraining_high=band_high,
        retraining=retraining,
        networks_needed=networks_needed,
        images_needed=images_needed,
        estimates=found,
    )


def _prediction(retrained: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the error with which one more retrained network is foreseen, and its degrees of freedom, NaN for too few."""
    trained = (~np.isnan(retrained)).sum(axis=1)
    enough = trained >= NETWORKS
    error = np.sqrt(_variance(retrained) * (1 + 1 / np.maximum(trained, 1)))
    return np.where(enough, error, np.nan), np.where(enough, trained - 1.0, np.nan)


def _beside_retraining(found: Estimates, retrained: np.ndarray, rows: np.ndarray) -> Estimates:
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


def _retraining_band(retrained: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the retraining band, each float64 (k,); see `Effects`."""
    error, freedom = _prediction(retrained)
    middle, half = _mean(retrained, 1), stats.t.isf((1 - CONFIDENCE) / 2, freedom) * error
    low, high = np.full((2, len(retrained)), np.nan)
    some = ~np.isnan(middle)
    if some.any():
        low[some], high[some] = np.nanmin(retrained[some], axis=1), np.nanmax(retrained[some], axis=1)
    low, high = (np.where(np.isnan(half), end, middle + sign * half) for end, sign in ((low, -1), (high, 1)))
    return np.minimum(low, 0.0), np.maximum(high, 0.0)


def _needed(found: Estimates, margins: np.ndarray, open: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many networks, or images, would decide each open row, the other number staying: float64 (k,)."""
    numbers, times = np.arange(1, MOST_NEEDED + 1), np.geomspace(1.1, MOST_NEEDED, 60)
    needed = np.full((2, len(margins)), np.nan)
    for row in np.flatnonzero(open & (found.images >= 2)):
        delta, margin = abs(found.mean[row]), margins[row]
        drawn = found.scope[row] == "scheme"
        networks = found.networks[row]
        parts = found.between[row] if drawn else 0.0, found.within[row] / found.images[row]

        def enough(
            variance: np.ndarray, freedom: np.ndarray, delta: float = delta, margin: float = margin
        ) -> np.ndarray:
            error = np.sqrt(variance)
            return (stats.t.isf(LEVEL / 2, freedom) * error < delta) | (
                stats.t.isf(LEVEL, freedom) * error < margin - delta
            )

        if drawn:
            more = numbers[numbers > networks]
            decide = more[enough(parts[0] / more + parts[1], more - 1)]
            needed[0, row] = decide[0] if len(decide) else np.nan
        variance = parts[0] / max(networks, 1) + parts[1] / times
        decide = times[enough(variance, max(networks - 1, 1) if drawn else found.images[row] * times - 1)]
        needed[1, row] = float(f"{found.images[row] * decide[0]:.2g}") if len(decide) else np.nan
    return needed[0], needed[1]


def adjust(p_values: np.ndarray, family: np.ndarray, group: np.ndarray | None = None) -> np.ndarray:
    """Return p-values adjusted to hold the false discovery rate within each family; family −1 and NaN are left as they are.

    Of a group's m families R are selected by their smallest adjusted p-values, and those in them are adjusted by m/R:
    so where there is nothing to be found in a whole group, something is found in one of twenty such groups.

    Args:
        p_values: float (k,).
        family: int (k,).
        group: int (k,), which families stand together; by default each stands alone.
    """
    adjusted = p_values.copy()
    smallest: dict[int, dict[int, float]] = {}
    group = family if group is None else group
    for one in sorted(set(family.tolist()) - {-1}):
        members = (family == one) & ~np.isnan(p_values)
        if members.any():
            adjusted[members] = stats.false_discovery_control(p_values[members])
            smallest.setdefault(int(group[members][0]), {})[one] = adjusted[members].min()
    for families in smallest.values():
        together = stats.false_discovery_control(list(families.values()))
        selected = max(1, int((together < LEVEL).sum()))
        for one, whole in zip(families, together, strict=True):
            members = (family == one) & ~np.isnan(p_values)
            wider = np.maximum(adjusted[members] * len(families) / selected, whole)
            adjusted[members] = np.minimum(wider, 1.0)
    return adjusted


def correction(p_values: np.ndarray, adjusted: np.ndarray) -> np.ndarray:
    """Return the factors for the tails of intervals, so that each leaves 0 out just where its adjusted p-value is small.

    Returns:
        float64 (k,), above 0 and up to 1: p over adjusted p, as intervals of what was selected are widened (Benjamini
        and Yekutieli 2005, doi 10.1198/016214504000001907); 1 / k where p is 0.
    """
    share = np.full(len(p_values), 1 / len(p_values))
    return np.divide(p_values, adjusted, out=share, where=(p_values > 0) & (adjusted > 0))


def padded(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Stack arrays (a, …) of several lengths, with NaN behind the shorter ones: float64 (k, longest, …)."""
    stacked = np.full((len(arrays), max(map(len, arrays)), *arrays[0].shape[1:]), np.nan)
    for place, array in enumerate(arrays):
        stacked[place, : len(array)] = array
    return stacked


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
        return _mean(own[kept], 0) - _mean(pairs[np.ix_(kept, kept)].reshape(-1, own.shape[1]), 0)

    everyone = np.arange(networks)
    whole = difference(everyone)
    return np.stack([networks * whole - (networks - 1) * difference(np.delete(everyone, one)) for one in everyone])
