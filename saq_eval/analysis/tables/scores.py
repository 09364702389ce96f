"""Table: the scores of single images."""

from __future__ import annotations

import pandas as pd

from saq_eval.analysis.results import Results
from saq_eval.analysis.schema import CELL, MODEL, result_table


@result_table(
    "scores",
    row="network × method × metric × image",
    holds="the score, empty where it is undefined, and what was predicted and explained",
    columns={**MODEL, **CELL, **dict.fromkeys(("sample", "label", "prediction", "target", "score"), "number")},
    key=("model", "method", "metric", "sample"),
)
def scores(results: Results) -> pd.DataFrame:
    grid, sample = results.grid, results.grid.settings.sample
    blocks = [
        pd.DataFrame(
            results.about_cell(cell.subject, cell.method, cell.metric)
            | {
                "sample": sample.indices.numpy(),
                "label": sample.labels.numpy(),
                "prediction": grid.predictions[cell.subject.name],
                "target": grid.targets[cell.subject],
                "score": value.scores,
            }
        )
        for cell, value in grid.in_order("model", "control")
    ]
    return pd.concat(blocks, ignore_index=True)
