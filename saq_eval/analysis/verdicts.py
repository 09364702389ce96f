"""The verdicts of groups of networks at a glance: by step and metric, over all methods."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from saq_eval.analysis.steps import STEPS


def verdict_table(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the verdicts of each group of networks per step and metric, over all methods and per method.

    In the widest scope that the seeds allow.

    Returns:
        One row per method ("" for all) × step × group × metric: `method, dataset, step, networks, metric, category, scope,
        delta, verdict, agreeing, methods, beyond`. Over methods, `delta` is the mean, and `verdict` what `majority` says,
        which `agreeing` of `methods` agree on; `beyond` counts the methods whose difference is beyond what retraining does.
    """
    rows = tables["effects"]
    keys = ["dataset", "step", "networks", "metric", "category", "scope"]
    columns = ["method", *keys, "delta", "verdict", "agreeing", "methods", "beyond"]
    if rows.empty:
        return pd.DataFrame(columns=columns)
    rows = rows[rows["verdict"].astype(bool) & rows["delta"].notna()]
    several = rows["training"].nunique() > 1
    named = rows["networks"] + ", " + rows["training"] if several else rows["networks"]
    rows = rows.assign(networks=named, beyond=(rows["retraining"] == "beyond").astype(int))
    each = rows[[*keys, "method", "delta", "verdict", "beyond"]].assign(agreeing=1, methods=1)
    grouped = rows.groupby(keys, sort=False)
    overall = grouped.agg(delta=("delta", "mean"), beyond=("beyond", "sum")).reset_index().assign(method="")
    found = [majority(verdicts) for verdicts in grouped["verdict"].agg(list)]
    overall[["verdict", "agreeing", "methods"]] = pd.DataFrame(found, columns=["verdict", "agreeing", "methods"])
    return pd.concat([overall, each], ignore_index=True)[columns]


def first_step(table: pd.DataFrame) -> pd.DataFrame:
    """Return each group's rows of the step that a reader wants to see first: what bits do, where that is known."""
    place = table["step"].map(list(STEPS).index)
    return table[place == place.groupby([table["dataset"], table["networks"]]).transform("min")]


def majority(verdicts: Iterable[str]) -> tuple[str, int, int]:
    """Return the verdict that holds for at least half of several, else "mixed"; and how often it holds, of how many.

    Empty verdicts, a baseline's, do not count; "" stands for none at all. Of two that hold for exactly half each,
    neither is taken.
    """
    given = [verdict for verdict in verdicts if verdict]
    if not given:
        return "", 0, 0
    counts = {verdict: given.count(verdict) for verdict in dict.fromkeys(given)}
    most = max(counts.values())
    leading = [verdict for verdict, count in counts.items() if count == most]
    if 2 * most < len(given) or len(leading) > 1:
        return "mixed", most, len(given)
    return leading[0], most, len(given)
