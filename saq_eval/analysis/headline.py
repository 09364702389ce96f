"""The first sentences of a report, made from its tables."""

from __future__ import annotations

import pandas as pd

from saq_eval.analysis import statistics
from saq_eval.analysis.steps import STEPS
from saq_eval.analysis.wording import OPPOSITE, beside, signed


def headline(tables: dict[str, pd.DataFrame]) -> list[str]:
    """Return a report's first sentences: on accuracy, interpretability and similarity of maps, and on their scope."""
    models, found = tables["models"], tables["findings"]
    compared = models[models["model"] != models["baseline"]]
    if compared.empty:
        return [
            f"{len(models)} {'network, a baseline' if len(models) == 1 else 'networks, all baselines'}, and no other to "
            "compare with.",
            "So nothing is said about quantization.",
            "The scores of their maps are below.",
        ]
    asked = found[found["claim"].str.contains("lower precision|the change from the baseline", regex=True)]
    if asked.empty:
        deltas = compared.groupby(["networks", "training"], sort=False)["accuracy_delta"].mean()
        said = ", ".join(f"{name}, {training}, {signed(100 * delta, 2)}" for (name, training), delta in deltas.items())
        return [
            f"Test accuracy against the baseline, in points: {said}.",
            "No network is compared with a full-precision one of its own training, so nothing is said about quantization.",
            "How the networks differ from the baseline is below, metric by metric.",
        ]
    order = list(STEPS)
    first = asked.assign(place=asked["step"].map(order.index)).sort_values("place", kind="stable")
    rows = first.drop_duplicates(["quantity", "group", "training"]).sort_index()
    lines = []
    cause = "the change from the baseline" if (rows["step"] == "change").all() else "lower precision"
    for quantity, what in (
        ("accuracy", f"What {cause} does to accuracy"),
        ("interpretability", "To interpretability"),
        ("similarity", "To the likeness of maps, beside that of retrained networks"),
    ):
        mine = rows[rows["quantity"] == quantity]
        if len(mine):
            lines.append(f"{what}: {_listed(mine)}.")
    if (rows["scope"] == "scheme").all():
        lines.append(f"This speaks of networks that are trained so, from {int(rows['seeds'].min())} seeds.")
    elif (rows["scope"] == "network").all():
        lines.append(
            f"This speaks of these networks alone: it takes {statistics.NETWORKS} seeds to speak of a bit width."
        )
    else:
        lines.append(
            f"Where there are {statistics.NETWORKS} seeds, this speaks of networks trained so, else of these alone."
        )
    return lines


def _listed(rows: pd.DataFrame) -> str:
    parts = []
    for row in rows.itertuples():
        said = row.words.removeprefix(OPPOSITE).partition("; about")[0] or "nothing can be said"
        notes = [] if row.step in ("bits", "change") else ["further training included"]
        if row.scope == "network" and row.retraining and row.quantity != "similarity":
            notes.append(beside(row.retraining))
        parts.append(f"{row.networks}: {said}" + (f" ({', '.join(notes)})" if notes else ""))
    return "; ".join(parts)
