"""Axiomatic: properties that an attribution either has or does not have."""

from __future__ import annotations

import numpy as np

from saq_eval.core.specs import Share
from saq_eval.data.fills import Fill
from saq_eval.metrics.base import Shape, Task
from saq_eval.metrics.passes import MetricPasses
from saq_eval.metrics.quantus.adapter import Arguments, register_quantus, without


def _within_tolerance(arguments: Arguments, task: Task, positions: np.ndarray, maps: np.ndarray) -> Arguments:
    """Make equality hold up to a tolerance; Quantus requires equal floats."""
    tolerance = arguments["tolerance"]
    sums = maps.reshape(len(maps), -1).sum(axis=-1)
    return without("tolerance", arguments) | {
        "output_func": lambda drops: np.where(np.abs(sums - drops) <= tolerance * np.abs(drops), sums, drops)
    }


@register_quantus(
    reference="Sundararajan et al. 2017, arXiv 1703.01365",
    range=(0.0, 1.0),
    reads="logits",
    maps="unscaled maps",  # the metric is about their scale
    passes=lambda settings, shape: MetricPasses(each={f"Completeness {settings['fill']}": 2}),
    complete=_within_tolerance,
)
def Completeness(shape: Shape, *, tolerance: Share = 0.05, fill: Fill = "black") -> Arguments:
    """Whether the map's sum equals the logit's difference from the fill's logit, up to a share `tolerance` of it.

    Many methods are designed so that their maps have this sum. With straight-through gradients of quantized networks,
    their maps do not have it.
    """
    return {"tolerance": tolerance, "fill": fill}
