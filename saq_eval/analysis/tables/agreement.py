"""Table: do metrics agree on the ranks of models?"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from saq_eval.analysis import statistics
from saq_eval.analysis.results import Results
from saq_eval.analysis.schema import TABLES, result_table


@result_table(
    "agreement",
    row="pair of metrics",
    holds="Kendall's τ-b of the models' ranks: do they agree on which model is worse?",
    columns={**dict.fromkeys(("metric", "other"), "text"), **dict.fromkeys(("tau", "p_value", "n"), "number")},
    key=("metric", "other"),
)
def agreement(results: Results) -> pd.DataFrame:
    ranked = {metric: _by_model(results, metric) for metric in results.scorers}
    rows = []
    for metric, other in itertools.combinations(ranked, 2):
        names = [name for name in ranked[metric] if name in ranked[other]]
        a, b = (np.array([ranked[each][name] for name in names]) for each in (metric, other))
        defined = ~(np.isnan(a) | np.isnan(b))
        tau, p_value = kendalltau(a[defined], b[defined]) if defined.sum() >= 3 else (np.nan, np.nan)
        rows.append({"metric": metric, "other": other, "tau": tau, "p_value": p_value, "n": int(defined.sum())})
    return TABLES["agreement"].frame(rows)


def _by_model(results: Results, metric: str) -> dict[str, float]:
    """Return the models' mean scores over methods and images, signed so that higher is better.

    Only methods with a score for all models count, since methods differ more than models. Baselines have no value for
    similarities.
    """
    grid, similar = results.grid, results.is_similarity(metric)
    models = [s for s in grid.subjects if s.role == "model" and not (s.is_baseline and similar)]
    by_method = [
        [statistics.defined_mean(grid.scores(s, method, metric)) for s in models] for method in results.methods
    ]
    usable = [values for values in by_method if not np.isnan(values).any()]
    sign = 1 if results.metric(metric).higher_is_better else -1
    means = sign * np.mean(usable, axis=0) if usable and models else np.full(len(models), np.nan)
    return dict(zip((subject.name for subject in models), means, strict=True))
