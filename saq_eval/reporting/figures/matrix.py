"""Chart: groups of networks by metrics, coloured by verdict."""

from __future__ import annotations

import itertools
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from saq_eval.analysis.steps import STEPS
from saq_eval.analysis.verdicts import verdict_table
from saq_eval.reporting.figures.looks import distinct, escaped, finish, legend_entry, metrics_of, nothing
from saq_eval.reporting.names import short, short_names
from saq_eval.reporting.verdicts import VERDICTS


def verdict_matrix(tables: dict[str, pd.DataFrame]) -> go.Figure:
    """Draw a matrix of groups of networks × metrics. Each cell shows the difference, and its colour the verdict.

    The menu selects the step and the method.
    """
    table = verdict_table(tables)
    metrics = metrics_of(table)
    if not metrics:
        return nothing("No quantized network takes part.")
    networks = list(dict.fromkeys(table[["dataset", "networks"]].itertuples(index=False, name=None)))
    several = table["dataset"].nunique() > 1
    full = {key: f"{key[0]}: {key[1]}" if several else key[1] for key in networks}
    shown = {key: escaped(short_names(full.values(), 32)[full[key]]) for key in networks}
    columns = {metric: _broken(text) for metric, text in short_names(metrics, 34).items()}
    codes = {verdict: place for place, verdict in enumerate(VERDICTS)}
    scale = [(end / len(VERDICTS), look.colour) for p, look in enumerate(VERDICTS.values()) for end in (p, p + 1)]
    figure = go.Figure()
    figure.add_heatmap(
        x=list(columns.values()),
        y=list(shown.values()),
        zmin=-0.5,
        zmax=len(VERDICTS) - 0.5,
        colorscale=scale,
        showscale=False,
        xgap=2,
        ygap=2,
        texttemplate="%{text}",
        textfont={"color": "#14171a", "size": 11},
        hovertemplate="%{hovertext}<extra></extra>",
    )
    views: list[tuple[str, str, dict, dict]] = []
    steps = sorted(distinct(table["step"]), key=list(STEPS).index)
    for step, method in itertools.product(steps, distinct(table["method"])):
        some = table[(table["method"] == method) & (table["step"] == step)]
        cells = {(row.dataset, row.networks, row.metric): row for row in some.itertuples()}
        found = {key: [cells.get((*key, metric)) for metric in metrics] for key in full}
        data = {
            "z": [[[codes[cell.verdict] if cell else None for cell in row] for row in found.values()]],
            "text": [[[_cell(cell) if cell else "" for cell in row] for row in found.values()]],
            "hovertext": [[[_about_cell(full[key], cell) if cell else "" for cell in found[key]] for key in full]],
        }
        views.append((method or "all methods", f"{step}, against {STEPS[step]}", data, {}))
    for name in [v for v in VERDICTS if v in set(table["verdict"])]:
        legend_entry(figure, f"{VERDICTS[name].sign} {name}", VERDICTS[name].colour, "square")
    figure.update_xaxes(side="top", tickangle=0 if len(metrics) < 8 else -60, showgrid=False, zeroline=False)
    figure.update_yaxes(autorange="reversed", showgrid=False, zeroline=False, type="category")
    finish(figure, "method", views, height=190 + 36 * len(networks))
    return figure.update_layout(updatemenus=[{"y": -0.02, "yanchor": "top"}])  # the metrics' names are above


def _cell(cell: Any) -> str:
    return f"{VERDICTS[cell.verdict].sign} {cell.delta:+.3f}" + (
        f"<br>{cell.agreeing} of {cell.methods}" if cell.methods > 1 else ""
    )


def _about_cell(name: str, cell: Any) -> str:
    share = f" ({cell.agreeing} of {cell.methods} methods)" if cell.methods > 1 else ""
    beyond = (
        f"<br>beyond what retraining does: {cell.beyond} of {cell.methods}" if cell.category != "similarity" else ""
    )
    return (
        f"<b>{escaped(short(name))}</b><br>{escaped(short(cell.metric))}"
        f"<br>difference {cell.delta:+.4g}<br>{cell.verdict}{share}, of this {cell.scope}{beyond}"
    )


def _broken(text: str) -> str:
    """Return a metric's label, escaped, with a line break before its parameters."""
    name, colon, parameters = text.partition(":")
    return escaped(name) + (f"<br>{escaped(parameters)}" if colon else "")
