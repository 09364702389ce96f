"""Table: the summary over only those images that both networks classify correctly, or equally."""

from __future__ import annotations

import numpy as np
import pandas as pd

from saq_eval.analysis import statistics
from saq_eval.analysis.groups import Step
from saq_eval.analysis.results import Results
from saq_eval.analysis.rows import Keep, Row, compared_in, tested
from saq_eval.analysis.schema import CELL, MODEL, TABLES, TESTED, result_table
from saq_eval.attribution import CONTROLS
from saq_eval.evaluation.settings import Subject


@result_table(
    "conditions",
    row="network × method × metric × condition",
    holds='as the summary, over images on which both networks are right ("both right"), or agree ("agree")',
    columns={
        **MODEL,
        **CELL,
        **{"scope": "text", "higher_is_better": "truth", "condition": "text", "n": "number", "mean": "number"},
        **TESTED,
    },
    key=("model", "method", "metric", "condition"),
)
def conditions(results: Results) -> pd.DataFrame:
    rows = []
    for cell, value in results.grid.in_order("model"):
        subject, method, metric, scores = cell.subject, cell.method, cell.metric, value.scores
        if subject.is_baseline or method in CONTROLS:
            continue
        step = Step("whole", {0: (subject, results.baseline(subject))})
        about = results.about_cell(subject, method, metric)
        about |= {"higher_is_better": results.metric(metric).higher_is_better}
        for condition, holds in _conditions(results, subject).items():
            keep = _keeping(holds)
            compared = compared_in(results, step, method, metric, keep)
            rows.append(Row(about | {"condition": condition}, keep(scores)[None], compared, family=condition))
    if not rows:
        return TABLES["conditions"].frame([])
    measured = tested(rows, results.margin)
    measured |= {
        "n": np.array([row.images for row in rows]),
        "mean": np.array([statistics.defined_mean(row.scores[0]) for row in rows]),
    }
    return TABLES["conditions"].frame([row.about for row in rows], measured)


def _conditions(results: Results, subject: Subject) -> dict[str, np.ndarray]:
    """Return, by condition, the images for which it holds, bool (n,)."""
    labels = results.grid.settings.sample.labels.numpy()
    ours, baselines = (results.grid.predictions[name] for name in (subject.name, subject.baseline))
    return {"both right": (ours == labels) & (baselines == labels), "agree": ours == baselines}


def _keeping(mask: np.ndarray) -> Keep:
    return lambda values: np.where(mask, values, np.nan)
