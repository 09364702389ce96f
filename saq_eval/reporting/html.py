"""The HTML report: one self-contained page, from the result's tables."""

from __future__ import annotations

from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from saq_eval.reporting import figures
from saq_eval.reporting.gallery import Gallery
from saq_eval.statistics import direction

_TEMPLATES = Environment(
    loader=PackageLoader("saq_eval.reporting"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(tables: dict[str, pd.DataFrame], run: dict[str, Any], gallery: Gallery) -> str:
    """Return the report as an HTML page that needs no other file; the arguments are those of `write_report`."""
    scores, models = tables["scores"], tables["models"]
    summary = tables["summary"].assign(change=[change(row) for row in tables["summary"].itertuples()])
    counts = summary[summary["role"] == "model"].groupby(["model", "change"]).size()
    names = list(run["models"])
    return _TEMPLATES.get_template("report.html").render(
        run=run,
        models=[
            row | {kind: int(counts.get((row["model"], kind), 0)) for kind in ("better", "worse", "unclear")}
            for row in models.to_dict("records")
        ],
        networks=[(name, run["models"][name]) for name in names],
        cells={(r["model"], r["method"], r["metric"]): r for r in summary.to_dict("records")},
        metrics=summary.drop_duplicates("metric").to_dict("records"),
        methods=run["methods"],
        told_apart=told_apart(tables["controls"]),
        controls=list(dict.fromkeys(tables["controls"]["control"])),
        degenerate=degenerate(summary),
        chart=Markup(figures.tradeoff_chart(scores, summary, models)),
        legend=figures.legend(models),
        pictures=figures.image_pictures(gallery.images),
        captions=list(zip(gallery.captions, gallery.indices.tolist(), strict=True)),
        map_pictures={key: figures.map_pictures(maps) for key, maps in gallery.maps.items()},
        colour_map=figures.COLOUR_MAP,
        css=Markup(_TEMPLATES.get_template("report.css").render()),
    )


def change(row: Any) -> str:
    """Say what a row's interval of differences to the baseline shows; see `saq_eval.statistics.direction`.

    A baseline itself has no difference, and a map unlike the baseline's is neither better nor worse, so
    similarity gets none either.
    """
    if row.model == row.baseline or row.category == "similarity":
        return ""
    return direction(row.delta_ci_low, row.delta_ci_high, row.higher_is_better)


def told_apart(controls: pd.DataFrame) -> list[dict[str, Any]]:
    """Count per metric and control how often a model's maps score better, worse, or cannot be told apart.

    Returns:
        One record per metric: `metric`, `category`, `counts` (by control, the numbers of "better", "worse",
        "unclear" and of all "cells", networks × methods) and `blind`, the controls from which the metric
        tells fewer than half of the cells apart.
    """
    records = []
    for metric, rows in controls.groupby("metric", sort=False):
        counts = {}
        for control, some in rows.groupby("control", sort=False):
            found = some["verdict"].value_counts()
            better, worse = int(found.get("better", 0)), int(found.get("worse", 0))
            unclear = len(some) - better - worse
            counts[control] = {"better": better, "worse": worse, "unclear": unclear, "cells": len(some)}
        records.append(
            {
                "metric": metric,
                "category": rows["category"].iloc[0],
                "counts": counts,
                "blind": [control for control, count in counts.items() if 2 * count["better"] < count["cells"]],
            }
        )
    return records


def degenerate(summary: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the networks and methods with constant or non-finite maps: records of `model`, `method`, `degenerate`."""
    found = summary[summary["degenerate"] > 0].drop_duplicates(["model", "method"])
    return found[["model", "method", "degenerate"]].to_dict("records")
