"""Table: the models, with accuracy, size, and interpretability on one scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import log_softmax

from saq_eval.analysis import statistics
from saq_eval.analysis.results import Results
from saq_eval.analysis.schema import MODEL, TABLES, result_table
from saq_eval.evaluation.settings import Subject

INTERPRETABILITY = ("interpretability", "interpretability_ci_low", "interpretability_ci_high")


@result_table(
    "models",
    row="model",
    holds="accuracy, flips and divergence of predictions, size at its bit width, surrogate gap; and how much better its "
    "maps score than the first baseline's, in standard deviations between images",
    columns={
        **{name: kind for name, kind in MODEL.items() if name != "role"},
        **dict.fromkeys(("networks", "scope", "first_last_bits"), "text"),
        **{"accuracy": "number", "baseline": "text", "fine_tuned": "text"},
        **dict.fromkeys(("accuracy_delta", "flips", "kl", "parameters", "size_kib", "file_kib"), "number"),
        **dict.fromkeys(("compression_ratio", "bops", "surrogate_gap", *INTERPRETABILITY), "number"),
    },
    key=("model",),
)
def models(results: Results) -> pd.DataFrame:
    grid, composite = results.grid, results.composite
    # All models are compared with the first baseline, so that they are on one scale.
    reference = next(subject for subject in grid.subjects if subject.is_baseline)
    by_name = {name: grid.by_name[name] for name in results.models}
    levels = [composite.mean(composite.differences(grid, subject, reference)) for subject in by_name.values()]
    intervals = zip(*statistics.intervals(np.stack(levels)), strict=True)
    networks = {subject.name: group.name for group in results.groups for subject in group.members.values()}
    return TABLES["models"].frame(
        [
            {name: value for name, value in results.about(subject).items() if name != "role"}
            | {"networks": networks[subject.name], "scope": "network", "baseline": subject.baseline}
            | {"fine_tuned": subject.fine_tuned}
            | _predictions(results, subject)
            | _size(results, subject)
            | dict(zip(INTERPRETABILITY, interval, strict=True))
            for subject, interval in zip(by_name.values(), intervals, strict=True)
        ]
    )


def _predictions(results: Results, subject: Subject) -> dict[str, float]:
    grid = results.grid
    accuracy, baselines = (round(grid.accuracies[s], 6) for s in (subject, results.baseline(subject)))
    log_p, log_q = (
        log_softmax(grid.logits[name].astype(np.float64), axis=1) for name in (subject.baseline, subject.name)
    )
    return {
        "accuracy": accuracy,
        "accuracy_delta": accuracy - baselines,
        "flips": float((log_p.argmax(axis=1) != log_q.argmax(axis=1)).mean()),
        "kl": float((np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean()),
        "surrogate_gap": grid.surrogate_gaps[subject.name],
    }


def _size(results: Results, subject: Subject) -> dict[str, Any]:
    network = results.models[subject.name]
    ideal, file = network.ideal_bytes, network.file_bytes
    return {
        "first_last_bits": network.end_bits,
        "parameters": np.nan if network.parameters is None else network.parameters,
        "size_kib": np.nan if ideal is None else ideal / 1024,
        "file_kib": np.nan if file is None else file / 1024,
        "compression_ratio": np.nan if ideal is None or network.parameters is None else 4 * network.parameters / ideal,
        "bops": sum(layer.bops for layer in network.layers) if network.layers else np.nan,
    }
