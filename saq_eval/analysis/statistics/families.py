"""Multiple testing: adjustment of p-values and intervals in families."""

from __future__ import annotations

import numpy as np
from scipy import stats

LEVEL = 0.05  # significance level of tests


def adjust(p_values: np.ndarray, family: np.ndarray, group: np.ndarray | None = None) -> np.ndarray:
    """Return p-values adjusted to control the false discovery rate within each family; family −1 and NaN do not change.

    Of a group's m families, R are selected by their smallest adjusted p-values. The p-values in a family are then
    multiplied by m/R. So if a whole group has no real effect, one in twenty such groups has a finding.

    Args:
        p_values: float (k,).
        family: int (k,), the family of each p-value.
        group: int (k,), the group of each family; by default each family is its own group.
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
    """Return factors for the tails of intervals, so that an interval excludes 0 exactly if its adjusted p-value is small.

    Returns:
        float64 (k,), above 0 and up to 1: p over adjusted p, which widens the intervals of selected effects (Benjamini
        and Yekutieli 2005, doi 10.1198/016214504000001907); 1 / k if p is 0.
    """
    share = np.full(len(p_values), 1 / len(p_values))
    return np.divide(p_values, adjusted, out=share, where=(p_values > 0) & (adjusted > 0))
