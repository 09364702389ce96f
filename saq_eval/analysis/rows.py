"""Table rows with tests: the data that each row compares, and the tests of all rows together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from saq_eval.analysis import statistics
from saq_eval.analysis.groups import Step, beside_retraining, retrained_means, step_scores
from saq_eval.analysis.results import Results
from saq_eval.attribution import CONTROLS
from saq_eval.evaluation.settings import Subject

Keep = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Compared:
    """The data that a row is tested by, arrays (networks, n); see `saq_eval.analysis.statistics.compare_paired`."""

    differences: np.ndarray
    distance: np.ndarray
    allowed: np.ndarray
    spread: float
    reach: float
    retrained: np.ndarray
    similar: bool


@dataclass(frozen=True)
class Row:
    """A row of a table before it is tested.

    Attributes:
        about: the columns that do not depend on the test, including "category" and "higher_is_better".
        scores: float64 (networks, n).
        compared: the data that it is tested by.
        family: p-values are corrected together over the rows with the same family and category. The categories of a
            family form a group (see `statistics.adjust`). `None` for a row without correction.
    """

    about: dict[str, Any]
    scores: np.ndarray
    compared: Compared
    family: Hashable | None

    @property
    def images(self) -> int:
        """The number of images with a score by any of the networks."""
        return int((~np.isnan(self.scores)).any(axis=0).sum())


def everything(scores: np.ndarray) -> np.ndarray:
    """Return the scores unchanged, so that all images count."""
    return scores


def compared_in(results: Results, step: Step, method: str, metric: str, keep: Keep = everything) -> Compared:
    """Return the data that a row is tested by, for the networks of a step, a method and a metric.

    Args:
        keep: sets the scores of images that do not count to NaN.
    """
    subjects = [subject for subject, _ in step.pairs.values()]
    similar = results.is_similarity(metric)
    own = [keep(step_scores(results.grid, step.name, s, method, metric, similar)) for s in subjects]
    return (_compared_maps if similar else _compared_scores)(results, step, method, metric, keep, own)


def _compared_maps(
    results: Results, step: Step, method: str, metric: str, keep: Keep, own: list[np.ndarray]
) -> Compared:
    """Compare networks' similarities with the similarities that retrained networks reach."""
    subjects = [subject for subject, _ in step.pairs.values()]
    baselines = [results.baseline(subject) for subject in subjects]
    floors = [
        {name: keep(scores) for name, scores in results.floors(baseline.name, method, metric).items()}
        for baseline in baselines
    ]
    differences, retrained = beside_retraining(own, floors, [baseline.identity for baseline in baselines])
    spreads = [statistics.spread(scores) for floor in floors for scores in floor.values()] or [0.0]

    def distance(subject: Subject, scores: np.ndarray) -> np.ndarray:
        """Return the distance from identical maps: 0 for identical maps, 1 for unrelated maps."""
        return 1.0 - results.corrected(subject, method, metric, scores)

    noise = [results.grid.cell(other, method, metric).noise for _, other in step.pairs.values()]
    nothing = np.full(len(own[0]), np.nan)
    allowed = [
        nothing if scores is None else distance(subject, keep(scores))
        for subject, scores in zip(subjects, noise, strict=True)
    ]
    return Compared(
        differences=differences,
        distance=np.stack([distance(subject, scores) for subject, scores in zip(subjects, own, strict=True)]),
        allowed=np.stack(allowed),
        spread=float(np.mean(spreads)),
        reach=1.0,
        retrained=retrained,
        similar=True,
    )


def _compared_scores(
    results: Results, step: Step, method: str, metric: str, keep: Keep, own: list[np.ndarray]
) -> Compared:
    """Compare networks' scores with the scores of the step's other networks, image by image."""
    grid = results.grid

    def mean(subject: Subject) -> float:
        return statistics.defined_mean(keep(grid.scores(subject, method, metric)))

    others = [keep(grid.scores(other, method, metric)) for _, other in step.pairs.values()]
    baselines = [results.baseline(subject) for subject, _ in step.pairs.values()]
    again = {
        retrained.identity: mean(retrained)
        for baseline in baselines
        for retrained in grid.retrained_of(baseline.name)
        if method not in CONTROLS
    }
    undefined = np.full((len(own), len(own[0])), np.nan)
    return Compared(
        differences=np.stack([ours - theirs for ours, theirs in zip(own, others, strict=True)]),
        distance=undefined,
        allowed=undefined,
        spread=float(np.mean([statistics.spread_of_scores(scores) for scores in others])),
        reach=statistics.reach(np.stack([*own, *others])),
        retrained=retrained_means({b.identity: mean(b) for b in baselines}, again),
        similar=False,
    )


def tested(rows: Sequence[Row], margin: float) -> dict[str, np.ndarray]:
    """Test rows together, and return the columns of `saq_eval.analysis.statistics.Effects` by name, each (rows,)."""
    keys = [None if row.family is None else (row.family, row.about["category"]) for row in rows]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(key for key in keys if key is not None))}
    groups = {family: number for number, family in enumerate(dict.fromkeys(row.family for row in rows))}
    compared = [row.compared for row in rows]
    return statistics.compare_paired(
        statistics.padded([each.differences for each in compared]),
        np.array([each.spread for each in compared]),
        np.array([row.about["higher_is_better"] for row in rows]),
        margin=margin,
        family=np.array([-1 if key is None else numbers[key] for key in keys]),
        group=np.array([-1 if key is None else groups[key[0]] for key in keys]),
        reach=np.array([each.reach for each in compared]),
        distance=statistics.padded([each.distance for each in compared]),
        allowed=statistics.padded([each.allowed for each in compared]),
        retrained=statistics.padded([each.retrained for each in compared]),
        by_retraining=np.array([each.similar and len(each.differences) < statistics.NETWORKS for each in compared]),
    ).columns()
