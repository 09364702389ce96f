"""Common parts of all charts: colours and signs, light and dark templates, menus, and texts escaped for Plotly."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from saq_eval.reporting.names import short_names, visible

_FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
# After Okabe and Ito. Each colour has a contrast of at least 3 to a white and to a near-black background.
COLOURS = ("#767676", "#2a85c7", "#009e73", "#b565a7", "#b07d00", "#d55e00")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star")
GREY = "rgba(128, 128, 128, 0.22)"
RULE = "rgba(128, 128, 128, 0.9)"


def template(ink: str, line: str, ground: str) -> go.layout.Template:
    """Return the template of all charts, from the colours of text (`ink`), grids (`line`) and hover labels (`ground`)."""
    axis = {
        "gridcolor": line,
        "linecolor": line,
        "zerolinecolor": ink,
        "zerolinewidth": 1,
        "automargin": True,
        "ticks": "",
        "title": {"standoff": 8, "font": {"size": 13}},
    }
    hover = {"bgcolor": ground, "bordercolor": line, "font": {"color": ink, "family": _FONT}, "align": "left"}
    return go.layout.Template(
        layout={
            "font": {"family": _FONT, "size": 12, "color": ink},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "colorway": COLOURS,
            "xaxis": axis,
            "yaxis": axis,
            "hoverlabel": hover,
            "legend": {
                "orientation": "h",
                "x": 0,
                "xref": "container",
                "y": 0,
                "yref": "container",
                "yanchor": "bottom",
            },
            "margin": {"l": 8, "r": 8, "t": 36, "b": 8},
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": ink, "activecolor": COLOURS[1]},
        }
    )


LIGHT = template("#1b1f24", "#d8dde3", "#ffffff")
DARK = template("#e6e9ec", "#3b424a", "#1c2024")


def escaped(text: object) -> str:
    """Return a text that Plotly shows literally, on one line: no markup, and no formula between dollar signs."""
    return html.escape(visible(text), quote=False).replace("$", "&#36;")


def interval(value: float, low: float, high: float) -> str:
    return f"{value:.4g}" + (f" [{low:.4g}, {high:.4g}]" if np.isfinite(low) and np.isfinite(high) else "")


def finish(figure: go.Figure, kind: str, views: Sequence[tuple[str, str, dict, dict]], height: int) -> go.Figure:
    """Give a figure its menu, of (label, group, data, layout), and show the first view."""
    # Without the traces' numbers, Plotly would also apply a view's values to the traces that are only legend entries.
    traces = list(range(len(next(iter(views[0][2].values())))))
    labels = short_names([f"{group}: {label}" if group else label for label, group, _, _ in views], 80)
    buttons = [
        {"label": escaped(text), "name": visible(group), "method": "update", "args": [data, layout, traces]}
        for text, (_, group, data, layout) in zip(labels.values(), views, strict=True)
    ]
    figure.update_layout(
        template=LIGHT,
        height=height,
        showlegend=True,
        updatemenus=[{"buttons": buttons, "name": kind, "x": 1, "xanchor": "right", "y": 1.12, "yanchor": "bottom"}],
    )
    _, _, data, layout = views[0]
    for key, values in data.items():
        for trace, value in zip(figure.data, values, strict=False):
            if value is not None:
                trace[key] = value
    figure.update_layout(layout)
    return figure


def nothing(text: str) -> go.Figure:
    figure = go.Figure()
    figure.add_annotation(text=escaped(text), showarrow=False, font={"size": 14})
    figure.update_layout(template=LIGHT, height=120, xaxis={"visible": False}, yaxis={"visible": False})
    return figure


def extend(data: dict[str, list[Any]], *values: Any) -> None:
    """Add a trace's values to the data of a view, one value for each key; numbers keep five significant digits."""
    for key, value in zip(data, values, strict=True):
        if isinstance(value, pd.Series):
            value = [None if pd.isna(number) else float(f"{number:.5g}") for number in value]
        data[key].append(value)


def distinct(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def metrics_of(table: pd.DataFrame) -> list[str]:
    """Return the metrics, sorted so that those of one category are together."""
    categories = distinct(table["category"])
    pairs = table.drop_duplicates("metric")[["category", "metric"]].itertuples(index=False)
    return [metric for _, metric in sorted(pairs, key=lambda pair: categories.index(pair[0]))]


def most_bits_first(names: Iterable[str], models: pd.DataFrame, column: str) -> list[str]:
    """Return distinct names from a column of the models, most bits first; several bit widths count by their mean."""

    def bits(text: object) -> float:
        known = [float(part) for part in str(text).split("/") if part.isdigit()]
        return float(np.mean(known)) if known else 0.0  # networks of unknown bits come last

    widths = {getattr(m, column): (-bits(m.weight_bits), -bits(m.activation_bits)) for m in models.itertuples()}
    return sorted(distinct(names), key=lambda name: widths.get(name, (0, 0)))


def scheme_looks(models: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Return each scheme's colour and sign, most bits first."""
    return {
        scheme: (COLOURS[place % len(COLOURS)], SYMBOLS[place % len(SYMBOLS)])
        for place, scheme in enumerate(most_bits_first(models["scheme"], models, "scheme"))
    }


def axis(letter: str, place: int) -> str:
    return f"{letter}axis{place + 1 if place else ''}"


def legend_entry(figure: go.Figure, name: str, colour: str, symbol: str) -> None:
    figure.add_scatter(
        x=[None],
        y=[None],
        name=escaped(name),
        mode="markers",
        marker={"color": colour, "symbol": symbol, "size": 11, "line": {"width": 1, "color": RULE}},
        hoverinfo="skip",
    )
