"""The report's pictures: SVG charts (Matplotlib) and PNG maps, as text to put into the page."""

from __future__ import annotations

import base64
import io

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from saq_eval.metrics import is_degenerate
from saq_eval.metrics.similarity import normalise
from saq_eval.statistics import mean_interval

COLOUR_MAP = "inferno"
# Okabe and Ito's palette: distinguishable with all common kinds of colour blindness.
_PALETTE = ("#0072B2", "#E69F00", "#D55E00", "#009E73", "#CC79A7", "#56B4E9")
_MARKERS = {"standard": "o", "saliency-guided": "^"}
_INK = "#010203"  # stands for the page's text colour, light or dark


def tradeoff(scores: pd.DataFrame, models: pd.DataFrame) -> pd.DataFrame:
    """Return each model's score per metric, averaged over methods, controls left out: the data of `tradeoff_chart`.

    Returns:
        One row per metric × model: `metric, model, mean, ci_low, ci_high` (95 % bootstrap over
        images, each image's score being its mean over methods), with the columns of `models`.
    """
    scores = scores[scores["role"] == "model"]
    per_image = scores.groupby(["metric", "model", "sample"], sort=False)["score"].mean().reset_index()
    rows = [
        (metric, model, *mean_interval(group["score"].to_numpy(), seed=0))
        for (metric, model), group in per_image.groupby(["metric", "model"], sort=False)
    ]
    table = pd.DataFrame(rows, columns=["metric", "model", "mean", "ci_low", "ci_high"])
    return table.merge(models, on="model", how="left")


def tradeoff_chart(scores: pd.DataFrame, summary: pd.DataFrame, models: pd.DataFrame) -> str:
    """Return an SVG of small panels, one per metric: test accuracy against the score, one point per model."""
    table = tradeoff(scores, models)
    metrics = list(dict.fromkeys(table["metric"]))
    schemes = list(dict.fromkeys(models["scheme"]))
    colours = {scheme: _PALETTE[place % len(_PALETTE)] for place, scheme in enumerate(schemes)}
    columns = min(3, len(metrics))
    rows = -(-len(metrics) // columns)
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "saq_eval", "font.size": 9, **_ink()}):
        figure = Figure(figsize=(3.3 * columns, 2.5 * rows + 0.5), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).flat
        for axis, metric in zip(axes, metrics, strict=False):
            about = summary[(summary["metric"] == metric) & (summary["role"] == "model")]
            for point in table[table["metric"] == metric].itertuples():
                axis.errorbar(
                    100 * point.accuracy,
                    point.mean,
                    yerr=[[max(0.0, point.mean - point.ci_low)], [max(0.0, point.ci_high - point.mean)]]
                    if np.isfinite(point.ci_low)
                    else None,
                    fmt=_MARKERS.get(point.training, "s"),
                    color=colours[point.scheme],
                    markersize=5,
                    elinewidth=1,
                )
            if about["chance"].notna().any():
                axis.axhline(about["chance"].mean(), color=_INK, linewidth=0.8, linestyle=":")
            better = "higher is better" if about["higher_is_better"].iloc[0] else "lower is better"
            axis.set_title(f"{metric} ({better})" if about["category"].iloc[0] != "similarity" else metric, fontsize=9)
            axis.spines[["top", "right"]].set_visible(False)
            axis.grid(alpha=0.25, linewidth=0.5)
            axis.locator_params(nbins=5)
        for axis in list(axes):
            axis.set_visible(False)
        figure.supxlabel("test accuracy in %", fontsize=9)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :].replace(_INK, "currentColor")


def legend(models: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the schemes and their colours in `tradeoff_chart`, in order."""
    schemes = list(dict.fromkeys(models["scheme"]))
    return [(scheme, _PALETTE[place % len(_PALETTE)]) for place, scheme in enumerate(schemes)]


def _ink() -> dict[str, str]:
    keys = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "grid.color")
    return dict.fromkeys(keys, _INK)


def map_pictures(maps: np.ndarray) -> list[str | None]:
    """Return each map's magnitude over its own maximum as a PNG data URI; none for a degenerate map.

    Args:
        maps: float32 (k, h, w).
    """
    colours = matplotlib.colormaps[COLOUR_MAP]
    return [
        None if empty else _data_uri((colours(scaled)[..., :3] * 255).astype(np.uint8))
        for scaled, empty in zip(normalise(maps), is_degenerate(maps), strict=True)
    ]


def image_pictures(images: np.ndarray) -> list[str]:
    """Return images as PNG data URIs.

    Args:
        images: float32 (k, c, h, w) in [0, 1]; one channel or three.
    """
    pixels = np.rint(images * 255).astype(np.uint8)
    return [_data_uri(image[0] if len(image) == 1 else image.transpose(1, 2, 0)) for image in pixels]


def _data_uri(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    picture = Image.fromarray(pixels)
    if pixels.ndim == 3:
        picture = picture.quantize(64)  # a third of the bytes, and no visible difference
    picture.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
