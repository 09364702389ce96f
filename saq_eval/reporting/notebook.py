"""A comparison in a notebook: its headline and overview table, and the page's charts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure

from saq_eval.analysis.record import Record
from saq_eval.core.errors import unknown_name
from saq_eval.reporting import figures
from saq_eval.reporting.gallery import Gallery
from saq_eval.reporting.names import short, visible
from saq_eval.reporting.page.render import COLOUR_MAP

_TEMPLATES = Environment(loader=PackageLoader("saq_eval.reporting.page"), autoescape=True)
_TEMPLATES.filters |= {"visible": visible, "short": short}


def notebook_summary(headline: Sequence[str], table: pd.DataFrame) -> str:
    """Return HTML of the headline's sentences and a table, with all names escaped."""
    rows = table.astype(str).values.tolist()
    return _TEMPLATES.get_template("notebook.html").render(headline=headline, columns=list(table.columns), rows=rows)


@dataclass(frozen=True)
class Plots:
    """The charts of a comparison; see `saq_eval.reporting.figures`."""

    tables: dict[str, pd.DataFrame]
    run: Record
    images: Gallery

    def tradeoff(self) -> go.Figure:
        """Draw test accuracy against each score, one point per network."""
        return figures.tradeoff(self.tables)

    def effects(self) -> go.Figure:
        """Draw the effect of each bit width, by step and metric, with the margin and the retraining band."""
        return figures.effects(self.tables)

    def verdict_matrix(self) -> go.Figure:
        """Draw the verdicts in a matrix of groups of networks by metrics."""
        return figures.verdict_matrix(self.tables)

    def curves(self) -> go.Figure:
        """Draw the curves of pixel flipping and similar metrics."""
        return figures.curves(self.tables)

    def gallery(self, group: str | None = None, method: str | None = None) -> Figure:
        """Draw a group of images, one per row, with every network's map by one method (Matplotlib).

        Args:
            group: "worst changed", "best kept", "misclassified only when quantized" or a class; by default the first.
            method: a method's label; by default the first.

        Raises:
            SaqEvalError: an unknown group or method.
        """
        methods = list(dict.fromkeys(name for _, name in self.images.maps))
        group = next(iter(self.images.groups)) if group is None else group
        method = methods[0] if method is None else method
        if group not in self.images.groups:
            raise unknown_name("group of images", group, self.images.groups)
        if method not in methods:
            raise unknown_name("method of this comparison", method, methods)
        models = [model for model, name in self.images.maps if name == method]
        places = self.images.groups[group]
        size = (1.1 * (1 + len(models)) + 0.4, 1.2 * len(places) + 0.6)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(len(places), 1 + len(models), squeeze=False)
        for row, place in enumerate(places):
            image = self.images.images[place]
            axes[row, 0].imshow(
                image[0] if len(image) == 1 else image.transpose(1, 2, 0), cmap="gray", vmin=0, vmax=255
            )
            for axis, model in zip(axes[row, 1:], models, strict=True):
                axis.imshow(self.images.maps[model, method][place], cmap=COLOUR_MAP, vmin=0, vmax=255)
                ssim = self.images.ssim.get((model, method))
                if ssim is not None:
                    axis.set_xlabel(f"SSIM {ssim[place]:.2f}", fontsize=7)
        for axis, title in zip(axes[0], ["image", *(short(model) for model in models)], strict=True):
            axis.set_title(title, fontsize=7)
        for axis in axes.flat:
            axis.set_xticks([])
            axis.set_yticks([])
        figure.suptitle(f"{short(group)}, maps by {short(method)}: magnitude over each map's maximum", fontsize=8)
        return figure
