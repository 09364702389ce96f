"""Curves of the metrics that follow one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from saq_eval.analysis import statistics
from saq_eval.analysis.results import Results
from saq_eval.analysis.schema import MEAN, MODEL, TABLES, result_table


@result_table(
    "curves",
    row="network × method × metric × step",
    holds="mean height of pixel flipping, ROAD and other curves, with intervals",
    columns={
        **MODEL,
        **{"method": "text", "metric": "text", "scope": "text", "step": "number", "n": "number"},
        **MEAN,
    },
    key=("model", "method", "metric", "step"),
)
def curves(results: Results) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    values = []
    settings = results.grid.settings
    shape = tuple(settings.sample.images.shape[1:])
    for subject in results.grid.by_name.values():
        for explainer in settings.methods_of(subject.role):
            for metric, heights in results.grid.cells[subject, explainer.label].curves.items():
                scorer = results.scorers[metric]
                positions = scorer.metric.positions(scorer.settings(shape), heights.shape[1])
                about = results.about_cell(subject, explainer.label, metric) | {"scope": "network"}
                for position, column in zip(positions, heights.T, strict=True):
                    rows.append(about | {"step": float(position), "n": (~np.isnan(column)).sum()})
                    values.append(column)
    if not rows:
        return TABLES["curves"].frame([])
    mean, low, high = statistics.intervals(np.stack(values))
    return TABLES["curves"].frame(rows, {"mean": mean, "ci_low": low, "ci_high": high})
