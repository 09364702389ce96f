"""Table: the curves of metrics that give curves."""

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
    for cell, value in results.grid.in_order("model", "control"):
        if value.curve is None:
            continue
        scorer = results.scorers[cell.metric]
        positions = scorer.metric.positions(scorer.settings(settings.sample.image_shape), value.curve.shape[1])
        about = results.about_cell(cell.subject, cell.method, cell.metric) | {"scope": "network"}
        for position, column in zip(positions, value.curve.T, strict=True):
            rows.append(about | {"step": float(position), "n": (~np.isnan(column)).sum()})
            values.append(column)
    if not rows:
        return TABLES["curves"].frame([])
    mean, low, high = statistics.intervals(np.stack(values))
    return TABLES["curves"].frame(rows, {"mean": mean, "ci_low": low, "ci_high": high})
