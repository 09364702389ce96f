"""Table: does each metric separate real maps from controls' maps?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from saq_eval.analysis import statistics
from saq_eval.analysis.results import Results
from saq_eval.analysis.schema import CELL, MODEL, TABLES, result_table
from saq_eval.attribution import CONTROLS
from saq_eval.evaluation.settings import Subject
from saq_eval.networks.network import RANDOM_WEIGHTS


@result_table(
    "controls",
    row="network × method × metric × control",
    holds="the difference to the control's score, paired by image, and whether the metric tells the two apart",
    columns={
        **MODEL,
        **CELL,
        **{"scope": "text", "higher_is_better": "truth", "control": "text"},
        **dict.fromkeys(("n", "mean", "control_mean", "difference", "ci_low", "ci_high"), "number"),
        **{"p_value": "number", "p_adjusted": "number", "verdict": "text"},
    },
    key=("model", "method", "metric", "control"),
)
def controls(results: Results) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    differences = []
    for cell, value in results.grid.in_order("model"):
        subject, method, metric, scores = cell.subject, cell.method, cell.metric, value.scores
        if method in CONTROLS:
            continue
        for control, theirs in _controls_of(results, subject, method, metric).items():
            rows.append(
                results.about_cell(subject, method, metric)
                | {"scope": "network", "higher_is_better": results.metric(metric).higher_is_better}
                | {"control": control, "mean": statistics.defined_mean(scores)}
                | {"control_mean": statistics.defined_mean(theirs)}
            )
            differences.append(scores - theirs)
    if not rows:
        return TABLES["controls"].frame([])
    found = statistics.estimate(np.stack(differences), np.array([statistics.reach(d) for d in differences]))
    low, high = found.limits()
    p_values = found.different()
    keys = [(row["category"], row["control"]) for row in rows]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    family = np.array([numbers[key] for key in keys])
    adjusted = statistics.adjust(p_values, family, group=np.zeros(len(keys), dtype=int))
    higher = np.array([row["higher_is_better"] for row in rows])
    directions = np.where((found.mean > 0) == higher, "better", "worse")
    verdicts = np.select([np.isnan(adjusted), adjusted < statistics.LEVEL], ["", directions], "unclear")
    measured = {"n": found.images, "difference": found.mean, "ci_low": low, "ci_high": high}
    return TABLES["controls"].frame(rows, measured | {"p_value": p_values, "p_adjusted": adjusted, "verdict": verdicts})


def _controls_of(results: Results, subject: Subject, method: str, metric: str) -> dict[str, np.ndarray]:
    """Return the scores of controls to compare a network's scores with, by control; none for a baseline's similarities.

    Maps of a network with random weights are scored as explanations of a baseline, so they are compared only with that
    baseline's maps. For similarities, the network's similarity to its baseline is compared with the control's similarity
    to the baseline.
    """
    grid, similar = results.grid, results.is_similarity(metric)
    if similar and subject.is_baseline:
        return {}
    if similar:
        others = dict(grid.cell(results.baseline(subject), method, metric).controls)
    else:
        others = {control: grid.scores(subject, control, metric) for control in CONTROLS}
    untrained = grid.control_of(subject.baseline)
    if untrained is not None and (similar or subject.is_baseline):
        others[RANDOM_WEIGHTS] = grid.scores(untrained, method, metric)
    return others
