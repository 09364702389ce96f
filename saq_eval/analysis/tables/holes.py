"""Table: the scores that cannot be computed, and why."""

from __future__ import annotations

import pandas as pd

from saq_eval.analysis.results import Results
from saq_eval.analysis.schema import CELL, MODEL, TABLES, result_table


@result_table(
    "holes",
    row="network × method × metric without scores",
    holds="why there are none: what the network lacks that the method or the metric needs",
    columns={**MODEL, **CELL, "reason": "text"},
    key=("model", "method", "metric"),
)
def holes(results: Results) -> pd.DataFrame:
    return TABLES["holes"].frame(
        [
            results.about_cell(cell.subject, cell.method, cell.metric) | {"reason": value.hole}
            for cell, value in results.grid.in_order("model", "control")
            if value.hole
        ]
    )
