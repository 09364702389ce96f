"""Chart: accuracy against interpretability."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from saq_eval.reporting.figures.looks import (
    RULE,
    axis,
    distinct,
    escaped,
    extend,
    finish,
    interval,
    metrics_of,
    nothing,
    scheme_looks,
)
from saq_eval.reporting.names import short, short_names

_FRONT: dict[str, Any] = {
    "name": "Pareto front",
    "legendgroup": "Pareto front",
    "mode": "lines",
    "line": {"color": RULE, "dash": "dot", "shape": "vh", "width": 1.5},
    "hoverinfo": "skip",
}


def tradeoff_table(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return each network's test accuracy and its score by each metric, which are the data of `tradeoff`.

    Scores and the ends of their intervals are means over methods. Since all methods explain the same images, this
    interval is at least as wide as the interval of the mean score.

    Returns:
        One row per metric × network: `metric, category, higher_is_better, mean, ci_low, ci_high, chance, floor`,
        the columns of `models`, and `front`, whether the network is on the Pareto front. Baselines have no rows for
        similarity, since they would be compared with themselves.
    """
    summary = tables["summary"]
    rows = summary[(summary["role"] == "model") & ~_own(summary)]
    keys = ["dataset", "metric", "category", "higher_is_better", "model"]
    values = ["mean", "ci_low", "ci_high", "chance", "floor"]
    means = rows.groupby(keys, sort=False)[values].mean().reset_index()
    table = pd.concat([_interpretability(tables["models"]), means.merge(tables["models"], on=["dataset", "model"])])
    table = table.dropna(subset=["mean", "accuracy"]).reset_index(drop=True)
    table["front"] = False
    for (_, _, higher), points in table.groupby(["dataset", "metric", "higher_is_better"], sort=False):
        table.loc[pareto_front(points["accuracy"], points["mean"] if higher else -points["mean"]), "front"] = True
    return table


def _interpretability(models: pd.DataFrame) -> pd.DataFrame:
    """Return rows for the interpretability composite, as for a further metric; no rows if the models do not have it."""
    if "interpretability" not in models:
        return pd.DataFrame()
    return models.assign(
        metric="interpretability, in standard deviations",
        category="faithfulness and localisation",
        higher_is_better=True,
        mean=models["interpretability"],
        ci_low=models["interpretability_ci_low"],
        ci_high=models["interpretability_ci_high"],
        chance=np.nan,
        floor=np.nan,
    )


def pareto_front(x: pd.Series, y: pd.Series) -> list[Any]:
    """Return the labels of the Pareto front: no other point is better in x or y without being worse in the other."""
    order = pd.DataFrame({"x": x, "y": y}).sort_values(["x", "y"], ascending=False)
    best, front = -np.inf, []
    for label, value in order["y"].items():
        if value > best:
            best = value
            front.append(label)
    return front


def tradeoff(tables: dict[str, pd.DataFrame]) -> go.Figure:
    """Draw test accuracy against a metric's score: one point per network with its interval, and the Pareto front.

    Colour and symbol show the scheme; filled and open symbols show the training. Better scores are always higher up. The
    menu selects the metric. Datasets are side by side.
    """
    table = tradeoff_table(tables)
    datasets, metrics = distinct(table["dataset"]), metrics_of(table)
    if not metrics:
        return nothing("No network has a score.")
    looks = scheme_looks(tables["models"])
    trainings = distinct(tables["models"]["training"])
    figure = make_subplots(
        cols=len(datasets),
        subplot_titles=[escaped(name) for name in datasets] if len(datasets) > 1 else None,
        horizontal_spacing=min(0.09, 0.5 / len(datasets)),
    )
    groups = list(itertools.product(datasets, looks, trainings))
    for dataset, scheme, training in groups:
        points = _points(scheme, training, *looks[scheme], first=training == trainings[0])
        figure.add_scatter(**points, showlegend=dataset == datasets[0], col=1 + datasets.index(dataset), row=1)
    for place, dataset in enumerate(datasets):
        figure.add_scatter(**_FRONT, showlegend=dataset == datasets[0], col=1 + place, row=1)
    shown = short_names(table["model"])
    views = []
    for metric in metrics:
        rows = table[table["metric"] == metric]
        data = _values(rows, groups, datasets, shown)
        views.append((metric, rows["category"].iloc[0], data, _layout(metric, rows, datasets)))
    figure.update_xaxes(title_text="test accuracy in %")
    return finish(figure, "score", views, height=460)


def _points(scheme: str, training: str, colour: str, symbol: str, first: bool) -> dict[str, Any]:
    """Return the style of the points of a scheme and a training: filled for the first training, else open."""
    return {
        "name": escaped(scheme) if first else f"{escaped(scheme)}, {escaped(training)}",
        "legendgroup": escaped(f"{scheme} {training}"),
        "mode": "markers",
        "marker": {"color": colour, "symbol": symbol if first else f"{symbol}-open", "size": 10, "line_width": 1.5},
        "error_y": {"type": "data", "thickness": 1.5, "width": 0, "color": colour},
        "hovertemplate": "%{text}<extra></extra>",
    }


def _values(
    rows: pd.DataFrame, groups: Sequence[tuple[str, str, str]], datasets: Sequence[str], shown: dict[str, str]
) -> dict[str, list[Any]]:
    """Return one metric's values for each trace: the points of each group, then the front of each dataset."""
    parts = dict(list(rows.groupby(["dataset", "scheme", "training"], sort=False)))
    data: dict[str, list[Any]] = {name: [] for name in ("x", "y", "error_y.array", "error_y.arrayminus", "text")}
    for group in groups:
        some = parts.get(group, rows.iloc[:0])
        extend(
            data,
            some["accuracy"] * 100,
            some["mean"],
            some["ci_high"] - some["mean"],
            some["mean"] - some["ci_low"],
            [_about_point(row, shown[row.model]) for row in some.itertuples()],
        )
    for dataset in datasets:
        front = rows[(rows["dataset"] == dataset) & rows["front"]].sort_values("accuracy")
        extend(data, front["accuracy"] * 100, front["mean"], [], [], [])
    return data


def _layout(metric: str, rows: pd.DataFrame, datasets: Sequence[str]) -> dict[str, Any]:
    """Return one metric's part of the layout: lines for levels, the title of the score axis, and the axis' direction."""
    upwards = True if rows["higher_is_better"].iloc[0] else "reversed"
    layout: dict[str, Any] = {"shapes": _levels(rows, datasets)}
    layout |= {f"{axis('y', place)}.autorange": upwards for place in range(len(datasets))}
    return layout | {"yaxis.title.text": escaped(short(metric))}


def _own(summary: pd.DataFrame) -> pd.Series:
    """Return, for each row, whether it compares a baseline's maps with themselves."""
    return (summary["category"] == "similarity") & (summary["model"] == summary["baseline"])


def _levels(rows: pd.DataFrame, datasets: Sequence[str]) -> list[dict[str, Any]]:
    """Return lines at the levels of chance and of retrained networks."""
    shapes = []
    # The labels are between the two lines, so that they stay inside the chart.
    lines = (("floor", "retrained", "top"), ("chance", "chance", "bottom"))
    for (place, dataset), (column, text, anchor) in itertools.product(enumerate(datasets), lines):
        level = rows.loc[rows["dataset"] == dataset, column].mean()
        if np.isfinite(level):
            number = place + 1 if place else ""
            shapes.append(
                {
                    "type": "line",
                    "xref": f"x{number} domain",
                    "yref": f"y{number}",
                    "x0": 0,
                    "x1": 1,
                    "y0": float(level),
                    "y1": float(level),
                    "line": {"color": RULE, "width": 1},
                    "label": {"text": text, "textposition": "start", "yanchor": anchor, "font": {"size": 11}},
                }
            )
    return shapes


def _about_point(row: Any, name: str) -> str:
    return (
        f"<b>{escaped(name)}</b><br>accuracy {100 * row.accuracy:.2f} %"
        f"<br>{escaped(short(row.metric))} {interval(row.mean, row.ci_low, row.ci_high)}"
        f"<br>{row.size_kib:.1f} KiB{', on the Pareto front' if row.front else ''}"
    )
