"""The interpretability composite: one number for how much better a network's maps score than another network's.

Differences of scores are in standard deviations between images, and signed so that higher is better. The composite first
takes the mean over the metrics of each method, then the mean over methods. So all methods have equal weight, also if
they have different numbers of metrics.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from saq_eval.analysis import statistics
from saq_eval.evaluation.grid import Grid
from saq_eval.evaluation.settings import Subject
from saq_eval.metrics import Scorer

CATEGORIES = ("faithfulness", "localisation")


@dataclass(frozen=True)
class Composite:
    """The measure of interpretability.

    Attributes:
        pairs: by method, the faithfulness and localisation metrics that, with this method, separate trained networks from
            untrained ones.
        scales: by method and metric, the standard deviation of the baselines' scores between images.
        spread: the standard deviation of the composite itself between images, for the baselines.
    """

    pairs: dict[str, tuple[Scorer, ...]]
    scales: dict[tuple[str, str], float]
    spread: float

    @classmethod
    def of(cls, grid: Grid) -> Composite:
        """Choose the pairs of method and metric. Baselines and other networks count equally, so neither side is favoured.

        A pair is chosen if it scores the networks' maps better than noise, and better than the maps of networks with
        random weights (Adebayo et al. 2018, arXiv 1810.03292). For both advantages, the 95 % interval has to be above 0,
        over at least `statistics.ENOUGH` images. An advantage is the mean of two means: that over the baselines and that
        over the other networks. If an untrained network scores as well as trained networks, a difference between trained
        networks says little.

        A score's scale is the same for all baselines together, so a baseline whose scores do not vary is kept. A pair is
        left out if its scores do not vary for any baseline.
        """
        models = [subject for subject in grid.subjects if subject.role == "model"]
        baselines = [subject for subject in models if subject.is_baseline]
        sides = [baselines, [subject for subject in models if not subject.is_baseline]]
        candidates, advantages, scales = [], [], {}
        for explainer, scorer in itertools.product(grid.settings.explainers, grid.settings.scorers):
            if scorer.metric.category not in CATEGORIES:
                continue
            method, metric = explainer.label, scorer.label
            sign = 1 if scorer.metric.higher_is_better else -1
            variances = [statistics.spread_of_scores(grid.scores(s, method, metric)) ** 2 for s in baselines]
            scales[method, metric] = float(np.sqrt(np.mean(variances)))
            candidates.append((method, scorer))
            for control in ("noise", "random weights"):
                halves = []
                for side in sides:
                    over = [
                        sign * (grid.scores(s, method, metric) - _control_scores(grid, s, method, metric, control))
                        for s in side
                    ]
                    halves += [statistics.mean_of(over)] if over else []
                advantages.append(statistics.mean_of(halves))
        if not candidates:
            return cls({}, {}, 0.0)
        values = np.stack(advantages)
        _, low, _ = statistics.intervals(values)
        shown = (low > 0) & ((~np.isnan(values)).sum(axis=1) >= statistics.ENOUGH)
        pairs: dict[str, tuple[Scorer, ...]] = {}
        for (method, scorer), both in zip(candidates, shown.reshape(-1, 2), strict=True):
            if both.all() and scales[method, scorer.label] > 0:
                pairs[method] = (*pairs.get(method, ()), scorer)
        chosen = cls(pairs, scales, 0.0)
        variances = [statistics.spread(chosen.mean(chosen.levels(grid, baseline))) ** 2 for baseline in baselines]
        return cls(pairs, scales, float(np.sqrt(np.mean(variances))))

    def levels(self, grid: Grid, subject: Subject) -> np.ndarray:
        """Return a network's scores, by method and image: float64 (methods, n), in standard deviations."""
        rows = [
            statistics.mean_of(
                [
                    (1 if scorer.metric.higher_is_better else -1)
                    * grid.scores(subject, method, scorer.label)
                    / self.scales[method, scorer.label]
                    for scorer in scorers
                ]
            )
            for method, scorers in self.pairs.items()
        ]
        return np.stack(rows) if rows else np.full((1, len(grid.settings.sample)), np.nan)

    def differences(self, grid: Grid, subject: Subject, reference: Subject) -> np.ndarray:
        """Return how much better a network's maps score than the reference's, by method and image: float64 (methods, n)."""
        rows = []
        for method, scorers in self.pairs.items():
            parts = [
                (1 if scorer.metric.higher_is_better else -1)
                * (grid.scores(subject, method, scorer.label) - grid.scores(reference, method, scorer.label))
                / self.scales[method, scorer.label]
                for scorer in scorers
            ]
            rows.append(statistics.mean_of(parts))
        return np.stack(rows) if rows else np.full((1, len(grid.settings.sample)), np.nan)

    @staticmethod
    def mean(by_method: np.ndarray) -> np.ndarray:
        """Return the composite, the mean over methods: float64 (n,)."""
        return statistics.mean_of(list(by_method))


def leave_one_out(by_method: np.ndarray) -> tuple[float, float]:
    """Return the smallest and the largest mean over all methods but one, for each choice of that one.

    Args:
        by_method: float64 (methods, …), each method's differences.

    Returns:
        The two means; NaN for a single method.
    """
    methods = len(by_method)
    if methods < 2:
        return np.nan, np.nan
    means = [
        statistics.defined_mean(statistics.mean_of(list(np.delete(by_method, method, axis=0))).ravel())
        for method in range(methods)
    ]
    return min(means), max(means)


def _control_scores(grid: Grid, subject: Subject, method: str, metric: str, control: str) -> np.ndarray:
    if control == "noise":
        return grid.scores(subject, "random", metric)
    untrained = grid.control_of(subject.baseline)
    if untrained is None:
        return np.full(len(grid.settings.sample), np.nan)
    return grid.scores(untrained, method, metric)
