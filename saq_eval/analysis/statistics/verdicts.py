"""Verdicts on many comparisons at once, and all that they rest on."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np

from saq_eval.analysis.statistics.equivalence import Equivalence, equivalence
from saq_eval.analysis.statistics.estimates import Estimates, estimate
from saq_eval.analysis.statistics.families import LEVEL, adjust
from saq_eval.analysis.statistics.needed import needed
from saq_eval.analysis.statistics.retraining import beside_retraining, beyond_retraining, retraining_band
from saq_eval.evaluation.plan import MARGIN

ENOUGH = 30  # images, for a verdict
TOO_FEW = "too few images"
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
    rows = len(differences)
    family = np.zeros(rows, dtype=int) if family is None else family
    retrained = np.full((rows, 1), np.nan) if retrained is None else retrained
    by_retraining = np.zeros(rows, dtype=bool) if by_retraining is None else by_retraining
    found = estimate(differences, reach)
    by_retraining = by_retraining & (found.scope == "network")
    found = beside_retraining(found, retrained, by_retraining)
    same = equivalence(found, margin * spread, distance, allowed)
    p_equivalence = np.where(by_retraining & ~same.by_distance, np.nan, same.p_value)
    same = replace(same, p_value=adjust(p_equivalence, family, group))
    p_value = found.different()
    p_adjusted = adjust(p_value, family, group)
    return _effects(found, spread, higher_is_better, p_value, p_adjusted, same, retrained, by_retraining)


def _effects(
    found: Estimates,
    spread: np.ndarray,
    higher_is_better: np.ndarray,
    p_value: np.ndarray,
    p_adjusted: np.ndarray,
    same: Equivalence,
    retrained: np.ndarray,
    by_retraining: np.ndarray,
) -> Effects:
    """Return all that is said of rows, once they are tested; the arguments are as in `Effects` and `compare_paired`."""
    improved = (found.mean > 0) == higher_is_better
    verdict = _verdicts(p_adjusted, same, improved)
    low, high = found.limits()
    band = retraining_band(retrained)
    unknown = (verdict == "undecided") & ~by_retraining & ~same.by_distance
    networks_needed, images_needed = needed(found, same.margin, open=unknown)
    with np.errstate(divide="ignore", invalid="ignore"):
        effect_size = np.where(spread > 0, found.mean / spread, np.nan)
    return Effects(
        scope=found.scope,
        n=found.images,
        delta=found.mean,
        delta_ci_low=low,
        delta_ci_high=high,
        p_value=p_value,
        p_adjusted=p_adjusted,
        effect_size=effect_size,
        margin=same.margin,
        p_equivalence=same.p_value,
        verdict=verdict,
        retrained=(~np.isnan(retrained)).sum(axis=1),
        retraining_low=band[0],
        retraining_high=band[1],
        retraining=beyond_retraining(found.mean, retrained, band, fine=by_retraining & improved),
        networks_needed=networks_needed,
        images_needed=images_needed,
        estimates=found,
    )


def _verdicts(p_adjusted: np.ndarray, same: Equivalence, improved: np.ndarray) -> np.ndarray:
    """Return the verdicts, object (k,); see `Effects`.

    Args:
        p_adjusted: float (k,), of no difference; NaN where there is nothing to compare with.
        same: with p-values that are adjusted.
        improved: bool (k,), the direction of the difference.
    """
    certain, negligible = p_adjusted < LEVEL, same.p_value < LEVEL
    direction = np.where(improved, "better", "worse").astype(object)
    return np.select(
        [
            same.images < ENOUGH,
            negligible & same.by_distance,  # the same maps are of course more alike than those of retrained networks
            certain & negligible,
            certain,
            negligible,
            np.isnan(p_adjusted),
        ],
        [TOO_FEW, "negligible", direction + ", but within the margin", direction, "negligible", ""],
        "undecided",
    ).astype(object)
