"""Verdicts on many comparisons at once, with the numbers that they are based on."""

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

ENOUGH = 30  # the least number of images for a verdict
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
    """Paired comparisons, one per row; each attribute is an array (k,).

    Attributes:
        scope: "network" if the networks are fixed, "scheme" if they are a random sample.
        n: the number of images with a difference.
        delta: the mean difference.
        delta_ci_low, delta_ci_high: the 95 % interval of `delta`.
        p_value, p_adjusted: the p-value of "no difference", raw and adjusted in its family.
        effect_size: `delta` in standard deviations of the baseline's scores; NaN if these do not vary.
        margin: differences up to this size count as negligible, in the metric's unit; for similarities, the distance that
            counts as negligible, from identical (0) to unrelated (1) maps.
        p_equivalence: the adjusted p-value of "the difference is beyond the margin".
        verdict: "worse" or "better" if `p_adjusted` is below 5 %, with "but within the margin" added if `p_equivalence` is
            below 5 % too. Else "negligible" if `p_equivalence` is below 5 %, else "undecided". "too few images" below
            `ENOUGH` images. "" if there is nothing to compare with.
        retrained: the number of retrained networks.
        retraining_low, retraining_high: the retraining band. The difference of one more retrained network lies in it with
            95 % probability. The band always includes 0. For fewer than three networks it is their range, for none NaN.
        retraining: "beyond" if `delta` lies outside the band, else "within"; "" for fewer than three networks.
        networks_needed, images_needed: approximately how many would decide an undecided row, if all else stays the same;
            NaN if more than a hundred networks, or a hundred times the images, would be needed.
        estimates: the estimates that all attributes are computed from.
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
    """Compare scores with other scores, image by image.

    Args:
        differences: float (k, n) or (k, networks, n), the score minus the other score; see `estimate`.
        spread: float (k,), the standard deviation of the baseline's scores over images.
        higher_is_better: bool (k,).
        margin: in standard deviations of the baseline's scores.
        family: int (k,); p-values of one family are adjusted together. Family −1, such as a baseline's comparison with
            itself, is not adjusted. By default all rows are one family.
        group: int (k,), the group of each row's family; see `adjust`.
        reach: float (k,), the largest possible difference of an image; by default 0.
        distance: float, in the shape of `differences`: the distance of maps from identical (0) to unrelated (1). Rows that
            have it (not NaN) are tested for equivalence by the distance instead of the difference.
        allowed: float, in the shape of `distance`: the distance that invisible noise moves maps. If its mean is above
            `SAME_MAPS`, the distance is compared with it, image by image; else the distance is compared with `SAME_MAPS`.
        retrained: float (k, r), the mean differences of retrained networks; NaN for networks that a row lacks.
        by_retraining: bool (k,), rows of one network whose difference is to the retrained networks' mean. They are tested
            by the spread between the retrained networks.
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
    """Return the effects of tested rows; for the arguments see `Effects` and `compare_paired`."""
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
        p_adjusted: float (k,), the p-values of "no difference"; NaN if there is nothing to compare with.
        same: the equivalence tests, with adjusted p-values.
        improved: bool (k,), whether the difference is an improvement.
    """
    certain, negligible = p_adjusted < LEVEL, same.p_value < LEVEL
    direction = np.where(improved, "better", "worse").astype(object)
    return np.select(
        [
            same.images < ENOUGH,
            negligible & same.by_distance,  # not "better": the same maps are always more similar than retrained ones
            certain & negligible,
            certain,
            negligible,
            np.isnan(p_adjusted),
        ],
        [TOO_FEW, "negligible", direction + ", but within the margin", direction, "negligible", ""],
        "undecided",
    ).astype(object)
