"""Complexity: on how few pixels the relevance lies, regardless of its sign."""

from __future__ import annotations

import math

import numpy as np

from saq_eval.core.specs import Share
from saq_eval.metrics.base import Shape
from saq_eval.metrics.native import complexity as native
from saq_eval.metrics.quantus.adapter import Arguments, register_quantus


@register_quantus(
    reference="Chalasani et al. 2020, arXiv 1810.06583",
    range=(0.0, 1.0),
    maps="magnitudes",
    native=native.sparseness,
)
def Sparseness(shape: Shape) -> Arguments:
    """Gini index of the relevance: 0 if all pixels have equal relevance, near 1 if one pixel has all of it."""
    return {}


@register_quantus(
    reference="Bhatt et al. 2020, arXiv 2005.00631",
    range=(0.0, math.inf),
    maps="magnitudes",
    native=native.complexity,
)
def Complexity(shape: Shape) -> Arguments:
    """Entropy of the relevance over the pixels, in nats: 0 if one pixel has all of it, ln(number of pixels) if all are equal."""
    return {}


@register_quantus(
    reference="Nguyen and Rodríguez Martínez 2020, arXiv 2007.07584",
    range=(0.0, 1.0),
    maps="magnitudes",
    native=native.effective_complexity,
    finish=lambda counts, task, positions, arguments: np.asarray(counts) / math.prod(task.images.shape[2:]),
)
def EffectiveComplexity(shape: Shape, *, eps: Share = 0.1) -> Arguments:
    """Share of the pixels that are more relevant than `eps` times the most relevant one.

    Quantus' threshold, 1e-5, would count almost every pixel that is not exactly zero.
    """
    return {"eps": eps}
