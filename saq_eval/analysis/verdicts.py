"""An overview of the verdicts on groups of networks: by step and metric, over all methods."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from saq_eval.analysis.steps import STEPS


def verdict_table(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the verdicts on each group of networks by step and metric, over all methods and for each method.

    Returns:
        One row per method ("" for all) × step × group × metric: `method, dataset, step, networks, metric, category, scope,
        delta, verdict, agreeing, methods, beyond`. Over all methods, `delta` is the mean and `verdict` is that of
        `majority`; `agreeing` of `methods` methods have this verdict. `beyond` counts the methods whose difference is
        beyond the retraining band. `scope` is the widest scope that the number of seeds allows.
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
    """Return each group's rows of its first step in the order of `STEPS`: "bits", if the group has it."""
    place = table["step"].map(list(STEPS).index)
    return table[place == place.groupby([table["dataset"], table["networks"]]).transform("min")]


def majority(verdicts: Iterable[str]) -> tuple[str, int, int]:
    """Return the verdict that at least half of the verdicts agree on, else "mixed"; the number that agree; and their number.

    Empty verdicts, which baselines have, do not count. If there is no other verdict, the result is "". If two verdicts
    have exactly half each, the result is "mixed".
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
