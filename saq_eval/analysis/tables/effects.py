"""Table: groups of networks that differ only in the seed, over all seeds, step by step."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from saq_eval.analysis import statistics
from saq_eval.analysis.groups import Group, Step, step_scores
from saq_eval.analysis.results import Results
from saq_eval.analysis.rows import Row, compared_in, tested
from saq_eval.analysis.schema import CELL, MEAN, TABLES, TESTED, result_table


@result_table(
    "effects",
    row="group of networks that differ in the seed alone × step × method × metric",
    holds="the mean over seeds and images, and the difference to what the step compares with, with its test and verdict",
    columns={
        **dict.fromkeys(("dataset", "networks", "architecture", "scheme", "training", "step"), "text"),
        **CELL,
        **{"scope": "text", "mask": "text", "higher_is_better": "truth", "seeds": "number", "n": "number"},
        **MEAN,
        **TESTED,
        "floor": "number",
    },
    key=("networks", "training", "step", "method", "metric"),
)
def effects(results: Results) -> pd.DataFrame:
    steps = [(group, step) for group in results.groups for step in group.steps(results.grid)]
    cells = list(itertools.product(results.methods, results.scorers))
    rows = [_row(results, group, step, method, metric) for group, step in steps for method, metric in cells]
    if not rows:
        return TABLES["effects"].frame([])
    mean, low, high = statistics.intervals(statistics.padded([row.scores for row in rows]))
    measured = tested(rows, results.margin)
    measured |= {"n": np.array([row.images for row in rows]), "mean": mean, "ci_low": low, "ci_high": high}
    return TABLES["effects"].frame([row.about for row in rows], measured)


def _row(results: Results, group: Group, step: Step, method: str, metric: str) -> Row:
    members = [subject for subject, _ in step.pairs.values()]
    similar = results.is_similarity(metric)
    reference = np.concatenate([results.references(subject, method, metric) for subject in members])
    about = {
        "dataset": results.dataset,
        "networks": group.name,
        "architecture": group.architecture,
        "scheme": group.scheme,
        "training": group.training,
        "step": step.name,
        "method": method,
        "metric": metric,
        "category": results.metric(metric).category,
        "mask": results.mask_of(metric),
        "higher_is_better": results.metric(metric).higher_is_better,
        "seeds": len(members),
        "floor": statistics.defined_mean(reference) if similar else np.nan,
    }
    scores = np.stack([step_scores(results.grid, step.name, s, method, metric, similar) for s in members])
    return Row(about, scores, compared_in(results, step, method, metric), family=step.name)
