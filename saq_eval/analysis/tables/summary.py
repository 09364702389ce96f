"""Table: each network alone, compared with its baseline."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from saq_eval.analysis import statistics
from saq_eval.analysis.groups import Step
from saq_eval.analysis.results import Results
from saq_eval.analysis.rows import Row, compared_in, tested
from saq_eval.analysis.schema import CELL, MEAN, MODEL, TABLES, TESTED, result_table
from saq_eval.evaluation.settings import Subject

# A baseline has no values in these columns, because it is itself one of the retrained networks.
_OF_OTHERS = ("retraining_low", "retraining_high", "retraining")


@result_table(
    "summary",
    row="network × method × metric",
    holds="the mean over images, and the difference to the baseline, paired by image, with its test and verdict; of "
    "similarities the level of chance, of retrained networks (`floor`) and of invisible noise",
    columns={
        **MODEL,
        **CELL,
        **{"scope": "text", "mask": "text", "higher_is_better": "truth", "degenerate": "number", "n": "number"},
        **MEAN,
        "baseline": "text",
        **TESTED,
        **dict.fromkeys(("chance", "corrected", "floor", "noise"), "number"),
    },
    key=("model", "method", "metric"),
)
def summary(results: Results) -> pd.DataFrame:
    cells = results.grid.in_order("model", "control")
    rows = [_row(results, cell.subject, cell.method, cell.metric, value.scores) for cell, value in cells]
    mean, low, high = statistics.intervals(np.concatenate([row.scores for row in rows]))
    measured = tested(rows, results.margin)
    measured |= {"n": np.array([row.images for row in rows]), "mean": mean, "ci_low": low, "ci_high": high}
    frame = TABLES["summary"].frame([row.about for row in rows], measured)
    frame.loc[frame["model"] == frame["baseline"], list(_OF_OTHERS)] = [np.nan, np.nan, ""]
    return frame


def _row(results: Results, subject: Subject, method: str, metric: str, scores: np.ndarray) -> Row:
    about = results.about_cell(subject, method, metric)
    compared = compared_in(results, Step("whole", {0: (subject, results.baseline(subject))}), method, metric)
    if subject.is_baseline:
        nothing = np.where(np.isnan(scores), np.nan, 0.0)[None]  # a baseline equals itself
        compared = replace(compared, differences=nothing, distance=nothing * np.nan, reach=0.0, similar=False)
    return Row(
        about | _beside(results, subject, method, metric, scores),
        scores[None],
        compared,
        family=None if subject.is_baseline else about["role"],
    )


def _beside(results: Results, subject: Subject, method: str, metric: str, scores: np.ndarray) -> dict[str, Any]:
    """Return further columns of a row: how to read its mean, and the reference levels of similarities."""
    cell = results.grid.cell(subject, method, metric)

    def mean(values: np.ndarray | None) -> float:
        return np.nan if values is None else statistics.defined_mean(values)

    similar = results.is_similarity(metric)
    degenerate = results.grid.degenerate(subject, method)
    return {
        "mask": results.mask_of(metric),
        "higher_is_better": results.metric(metric).higher_is_better,
        "degenerate": np.nan if degenerate is None else int(degenerate.sum()),
        "baseline": subject.baseline,
        "chance": mean(cell.chance),
        "corrected": mean(results.corrected(subject, method, metric, scores) if similar else None),
        "floor": mean(results.references(subject, method, metric) if similar else None),
        "noise": mean(cell.noise),
    }
