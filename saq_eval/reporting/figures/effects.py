"""Chart: the effect of each scheme on each metric, step by step, with the margin and the retraining band."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from saq_eval.analysis.steps import STEPS
from saq_eval.reporting.figures.looks import (
    GREY,
    RULE,
    SYMBOLS,
    axis,
    distinct,
    escaped,
    extend,
    finish,
    interval,
    legend_entry,
    metrics_of,
    most_bits_first,
    nothing,
)
from saq_eval.reporting.names import short, short_names
from saq_eval.reporting.verdicts import VERDICTS

_ROW = 30  # pixels
_PLAIN = "#ffffff"
_CLEAR = "rgba(0,0,0,0)"


def effects(tables: dict[str, pd.DataFrame]) -> go.Figure:
    """Draw the differences in a metric, by group of networks and method, with the margin and the retraining band.

    A point is a difference with its interval. For similarity, it is the difference from the similarity that networks
    reach that differ only in the seed. The margin, within which a difference does not matter, is grey. The retraining
    band, in which one more full-precision network of another seed would lie, is outlined. The menu selects the step and
    the metric.
    """
    table = tables["effects"]
    metrics = metrics_of(table)
    if not metrics:
        return nothing("No quantized network takes part.")
    datasets = distinct(table["dataset"])
    networks = most_bits_first(table["networks"], tables["models"], "networks")
    methods, trainings = distinct(table["method"]), distinct(table["training"])
    shown = {name: escaped(text) for name, text in short_names(methods, 28).items()}
    figure = _frame(networks, trainings)
    views = []
    of_view = dict(list(table.groupby(["step", "dataset", "metric"], sort=False)))
    steps = sorted(distinct(table["step"]), key=list(STEPS).index)
    for step, dataset, metric in itertools.product(steps, datasets, metrics):
        if (step, dataset, metric) in of_view:
            rows = of_view[step, dataset, metric]
            group = f"{step}: {rows['category'].iloc[0] if len(datasets) == 1 else dataset}"
            views.append((metric, group, _data(rows, networks, trainings, shown), _layout(rows, metric, len(networks))))
    for name, colour in (("margin", GREY), ("retraining band", _CLEAR)):
        legend_entry(figure, name, colour, "square")  # not from the bars, since a column may have none
    for training, symbol in zip(trainings, itertools.cycle(SYMBOLS), strict=False):
        legend_entry(figure, training, _PLAIN, symbol)
    for name in [verdict for verdict in VERDICTS if verdict in set(table["verdict"])]:
        legend_entry(figure, f"{VERDICTS[name].sign} {name}", VERDICTS[name].colour, "square")
    figure.update_yaxes(
        range=[len(methods) - 0.5, -0.5],
        tickmode="array",
        tickvals=list(range(len(methods))),
        ticktext=list(shown.values()),
        showgrid=False,
        zeroline=False,
    )
    figure.update_xaxes(nticks=4)
    title = {"x": 0, "xanchor": "left", "y": 0.99, "yanchor": "top", "font": {"size": 13}}
    figure.update_layout(bargap=0, barmode="overlay", margin={"t": 72}, title=title, legend={"traceorder": "normal"})
    return finish(figure, "metric", views, height=170 + _ROW * max(4, len(methods)))


def _frame(networks: list[str], trainings: list[str]) -> go.Figure:
    """Return the empty chart. Each group of networks has a column with margin, retraining band and a trace per training."""
    figure = make_subplots(
        cols=len(networks),
        shared_yaxes=True,
        subplot_titles=[escaped(name) for name in short_names(networks, 32).values()],
        horizontal_spacing=min(0.03, 0.5 / len(networks)),
    )
    for column in range(1, len(networks) + 1):
        for name, width, line in (("margin", 0.86, 0.0), ("retraining band", 0.5, 1.0)):
            figure.add_bar(
                name=name,
                showlegend=False,
                orientation="h",
                width=width,
                marker={"color": _CLEAR if line else GREY, "line": {"width": line, "color": RULE}},
                hoverinfo="skip",
                row=1,
                col=column,
            )
        for training, symbol in zip(trainings, itertools.cycle(SYMBOLS), strict=False):
            figure.add_scatter(
                name=escaped(training),
                legendgroup=escaped(training),
                showlegend=False,
                mode="markers",
                marker={"symbol": symbol, "size": 9, "line": {"width": 1, "color": RULE}},
                error_x={"type": "data", "thickness": 1.2, "width": 0, "color": RULE},
                hovertemplate="%{text}<extra></extra>",
                row=1,
                col=column,
            )
    return figure


def _data(rows: pd.DataFrame, networks: list[str], trainings: list[str], shown: dict[str, str]) -> dict[str, list[Any]]:
    """Return a metric's values for the traces of `_frame`, in their order."""
    place_of = {method: place for place, method in enumerate(shown)}
    # In a method's row, its trainings are one above the other.
    offsets = {training: 0.36 * (place - (len(trainings) - 1) / 2) for place, training in enumerate(trainings)}
    parts = dict(list(rows.groupby(["networks", "training"], sort=False)))
    around = rows.groupby(["networks", "method"], sort=False)
    margins = around["margin"].max().dropna()
    bands = around.agg(low=("retraining_low", "min"), high=("retraining_high", "max")).dropna()
    keys = ("x", "y", "base", "error_x.array", "error_x.arrayminus", "text", "marker.color")
    data: dict[str, list[Any]] = {key: [] for key in keys}
    for name in networks:
        widths = margins[name] if name in margins else margins.iloc[:0]
        extend(data, 2 * widths, [place_of[method] for method in widths.index], -widths, [], [], [], GREY)
        band = bands.loc[name] if name in bands.index else bands.iloc[:0].droplevel(0)
        width = band["high"] - band["low"]
        extend(data, width, [place_of[method] for method in band.index], band["low"], [], [], [], _CLEAR)
        for training in trainings:
            some = parts.get((name, training), rows.iloc[:0])
            extend(
                data,
                some["delta"],
                [place_of[method] + offsets[training] for method in some["method"]],
                None,
                some["delta_ci_high"] - some["delta"],
                some["delta"] - some["delta_ci_low"],
                [_about_effect(row, shown[row.method]) for row in some.itertuples()],
                [VERDICTS[verdict].colour if verdict in VERDICTS else _PLAIN for verdict in some["verdict"]],
            )
    return data


def _layout(rows: pd.DataFrame, metric: str, columns: int) -> dict[str, Any]:
    """Return a metric's title and the range of its axes, with 0 in the middle."""
    better = "right" if bool(rows["higher_is_better"].iloc[0]) else "left"
    meaning = (
        "difference to what retraining alone leaves alike; right of 0 is more alike"
        if rows["category"].iloc[0] == "similarity"
        else f"difference, {rows['step'].iloc[0]}; {better} of 0 is better"
    )
    ends = ["delta_ci_low", "delta_ci_high", "delta", "margin", "retraining_low", "retraining_high"]
    reach = np.nanmax(np.abs(rows[ends].to_numpy(dtype=float)), initial=1e-6)
    ranges = {f"{axis('x', place)}.range": [-1.08 * reach, 1.08 * reach] for place in range(columns)}
    return {"title.text": f"{escaped(short(metric))}: {meaning}"} | ranges


def _about_effect(row: Any, method: str) -> str:
    tested = (("margin ±", row.margin), ("adjusted p ", row.p_adjusted), ("effect size ", row.effect_size))
    return "<br>".join(
        (
            f"<b>{escaped(short(row.networks))}, {escaped(short(row.training))}, {method}</b>",
            f"difference {interval(row.delta, row.delta_ci_low, row.delta_ci_high)}",
            ", ".join(f"{name}{value:.2g}" for name, value in tested if pd.notna(value)),
            f"{row.verdict or 'no verdict'}, of this {row.scope}; {row.n} images, {row.seeds} "
            f"{'seed' if row.seeds == 1 else 'seeds'}",
            *([f"{row.retraining} what retraining does"] if row.retraining else []),
        )
    )
