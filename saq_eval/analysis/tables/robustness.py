"""Table: how similar each method's maps stay under quantization."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from saq_eval.analysis import statistics
from saq_eval.analysis.results import Results
from saq_eval.analysis.schema import TABLES, result_table
from saq_eval.evaluation.settings import Subject


@result_table(
    "robustness",
    row="method",
    holds="how alike quantized networks' maps are to their baselines', over all similarities: the chance-corrected "
    "similarity, that of networks that differ only in seed (`floor`), and the share of maps that say nothing",
    columns={
        **{"rank": "number", "method": "text", "scope": "text"},
        **dict.fromkeys(("corrected", "ci_low", "ci_high", "floor", "degenerate", "n"), "number"),
    },
    key=("method",),
)
def robustness(results: Results) -> pd.DataFrame:
    """Return the methods in the order of their rank; networks are compared with baselines, so further training counts too."""
    models = [subject for subject in results.grid.subjects if subject.role == "model"]
    quantized = [s for s in models if not s.is_baseline and not s.is_fine_tuned]
    similarities = [metric for metric in results.scorers if results.is_similarity(metric)]
    if not quantized or not similarities:
        return TABLES["robustness"].frame([])
    kept, floors = zip(*(_kept(results, method, quantized, similarities) for method in results.methods), strict=True)
    mean, low, high = statistics.intervals(np.stack(kept))
    rows = [
        {
            "method": method,
            "scope": "network",
            "corrected": mean[place],
            "ci_low": low[place],
            "ci_high": high[place],
            "floor": floors[place],
            "degenerate": _share_of_degenerate(results, method, quantized),
            "n": int((~np.isnan(kept[place])).sum()),
        }
        for place, method in enumerate(results.methods)
    ]
    ranked = pd.DataFrame(rows).sort_values("corrected", ascending=False, kind="stable", ignore_index=True)
    return TABLES["robustness"].frame(ranked.to_dict("records"), {"rank": np.arange(1, len(ranked) + 1)})


def _share_of_degenerate(results: Results, method: str, subjects: Sequence[Subject]) -> float:
    """Return the share of degenerate maps among the maps that there are; NaN if there are none."""
    found = [results.grid.degenerate(subject, method) for subject in subjects]
    return statistics.defined_mean(np.array([np.nan if each is None else each.mean() for each in found]))


def _kept(
    results: Results, method: str, quantized: Sequence[Subject], similarities: Sequence[str]
) -> tuple[np.ndarray, float]:
    """Return a method's mean corrected similarity to the baselines' maps, float64 (n,), and that of retrained networks."""
    scores, retrained = [], []
    for subject, metric in itertools.product(quantized, similarities):
        ours = results.grid.scores(subject, method, metric)
        scores.append(results.corrected(subject, method, metric, ours))
        floor = statistics.mean_of(list(results.references(subject, method, metric)))
        retrained.append(results.corrected(subject, method, metric, floor))
    return statistics.mean_of(scores), statistics.defined_mean(np.stack(retrained))
