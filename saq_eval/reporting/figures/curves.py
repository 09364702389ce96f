"""Chart: scores as pixels are removed."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from saq_eval.reporting.figures.looks import distinct, escaped, extend, finish, nothing, scheme_looks
from saq_eval.reporting.names import short, short_names


def curves(tables: dict[str, pd.DataFrame]) -> go.Figure:
    """Draw the networks' scores as the most relevant pixels are removed, with 95 % bands.

    The menu selects the metric and the method.
    """
    table = tables["curves"]
    table = table[table["role"] == "model"]
    if table.empty:
        return nothing("No metric of this comparison removes pixels step by step.")
    looks = scheme_looks(tables["models"])
    trainings, seeds = distinct(table["training"]), distinct(table["seed"])
    networks = table.drop_duplicates("model")[["model", "scheme", "training", "seed"]]
    shown = {name: escaped(text) for name, text in short_names(networks["model"], 32).items()}
    figure = go.Figure()
    for network in networks.itertuples():
        colour = looks[network.scheme][0]
        common = {"legendgroup": shown[network.model], "name": shown[network.model]}
        first = network.training == trainings[0]
        visible = True if first and network.seed == seeds[0] else "legendonly"
        figure.add_scatter(
            **common,
            showlegend=False,
            mode="lines",
            line={"width": 0},
            fill="toself",
            fillcolor=_faint(colour),
            hoverinfo="skip",
            visible=visible,
        )
        figure.add_scatter(
            **common,
            mode="lines",
            line={"color": colour, "dash": "solid" if first else "dash", "width": 2},
            hovertemplate="%{meta}<br>%{x:.0f} % removed: %{y:.3f}<extra></extra>",
            meta=shown[network.model],
            visible=visible,
        )
    several = table["dataset"].nunique() > 1
    views = []
    for (dataset, metric, method), rows in table.groupby(["dataset", "metric", "method"], sort=False):
        data: dict[str, list[Any]] = {"x": [], "y": []}
        of_network = dict(list(rows.sort_values("step").groupby("model", sort=False)))
        for network in networks["model"]:
            some = of_network.get(network, rows.iloc[:0])
            steps = 100 * some["step"]
            band = some[["ci_low", "ci_high"]].notna().all(axis=1)
            ends = pd.concat([some["ci_high"][band], some["ci_low"][band][::-1]])
            extend(data, pd.concat([steps[band], steps[band][::-1]]), ends)
            extend(data, steps, some["mean"])
        group = f"{dataset}: {metric}" if several else metric
        views.append((method, group, data, {"yaxis.title.text": escaped(short(metric))}))
    figure.update_xaxes(title_text="pixels removed in %, most relevant first", rangemode="tozero")
    figure.update_layout(hovermode="closest")
    return finish(figure, "curve", views, height=480)


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, 0.14)"
