"""The HTML report: one self-contained page, from the result's tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from saq_eval.reporting import figures
from saq_eval.reporting.gallery import Gallery

_TEMPLATES = Environment(
    loader=PackageLoader("saq_eval.reporting"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(
    scores: pd.DataFrame, summary: pd.DataFrame, models: pd.DataFrame, run: dict[str, Any], gallery: Gallery
) -> str:
    """Return the report as an HTML page that needs no other file; the arguments are those of `write_report`."""
    marked = summary.assign(change=[change(row) for row in summary.itertuples()])
    counts = marked.groupby(["model", "change"]).size()
    method_names = list(run["methods"])
    return _TEMPLATES.get_template("report.html").render(
        run=run,
        models=[
            row | {kind: int(counts.get((row["model"], kind), 0)) for kind in ("better", "worse", "unclear")}
            for row in models.to_dict("records")
        ],
        cells={(r["model"], r["method"], r["metric"]): r for r in marked.to_dict("records")},
        metrics=marked.drop_duplicates("metric").to_dict("records"),
        method_names=method_names,
        chart=Markup(figures.tradeoff_chart(scores, summary, models)),
        legend=figures.legend(models),
        pictures=figures.image_pictures(gallery.images),
        captions=list(zip(gallery.captions, gallery.indices.tolist(), strict=True)),
        map_pictures={key: figures.map_pictures(maps) for key, maps in gallery.maps.items()},
        colour_map=figures.COLOUR_MAP,
        css=Markup(_TEMPLATES.get_template("report.css").render()),
    )


def change(row: Any) -> str:
    """Say what a row's interval of differences to the baseline shows: "better", "worse", "unclear" or "" (no difference).

    "unclear" is an interval that holds 0. A baseline itself has no difference, and a map unlike the
    baseline's is neither better nor worse, so similarity gets none either.
    """
    if row.model == row.baseline or row.category == "similarity" or not np.isfinite(row.delta_ci_low):
        return ""
    if row.delta_ci_low <= 0 <= row.delta_ci_high:
        return "unclear"
    return "better" if (row.delta > 0) == row.higher_is_better else "worse"
