"""Localisation: whether relevance lies on the evidence. Unrelated maps score the evidence's share of the image.

Ties are handled as `saq_eval.metrics.base` says: tied pixels share places equally, and pixels without relevance never
belong to the most relevant ones. An image with an empty mask has no score. On maps without ties, the scores equal those of
Quantus, which breaks ties by position.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import rankdata

from saq_eval.core.errors import SaqEvalError
from saq_eval.core.specs import Pixels
from saq_eval.metrics.base import METRICS, Metric, Shape, Task
from saq_eval.metrics.maps import Reading, read, top_membership

Measure = Callable[..., np.ndarray]


def _mask_share(task: Task, **_: Any) -> np.ndarray:
    shares = task.masks.mean(axis=(1, 2, 3))
    return np.where(shares > 0, shares, np.nan)


def register_localisation(
    *,
    reference: str,
    reads: Reading = "magnitudes",
    chance: Callable[..., np.ndarray] = _mask_share,
    resolve: Callable[[dict[str, Any], Shape], dict[str, Any]] = lambda parameters, shape: parameters,
) -> Callable[[Measure], Measure]:
    """Register the decorated function as a metric with the function's name.

    The function is (relevance, evidence, **parameters) -> scores, float64 (n,), in 0 … 1. Relevance is float64
    (n, pixels), not negative, and positive somewhere in each row. Evidence is bool (n, pixels), and true somewhere in
    each row. The function's keyword-only parameters are the metric's parameters.

    Args:
        reference: the paper.
        reads: how relevance is read from the maps.
        chance, resolve: see `Metric`.
    """

    def register(measure: Measure) -> Measure:
        def score(task: Task, **parameters: Any) -> np.ndarray:
            count = len(task.maps)
            settings = resolve(parameters, task.images.shape[1:])
            relevance, inside = read(reads, task.maps).reshape(count, -1), task.masks.reshape(count, -1)
            usable = np.isfinite(relevance).all(axis=1) & (relevance > 0).any(axis=1) & inside.any(axis=1)
            scores = np.full(count, np.nan)
            if usable.any():
                scores[usable] = measure(relevance[usable], inside[usable], **settings)
            return scores

        METRICS.add(
            measure.__name__,
            Metric(
                name=measure.__name__,
                category="localisation",
                higher_is_better=True,
                range=(0.0, 1.0),
                reference=reference,
                score=score,
                declares=measure,
                resolve=lambda parameters, shape: resolve(parameters, shape) | {"reads": reads},
                needs=("masks",),
                chance=chance,
            ),
        )
        return measure

    return register


@register_localisation(reference="Zhang et al. 2018, doi 10.1007/s11263-017-1059-x")
def PointingGame(relevance: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Whether the most relevant pixel is on the object; if several are tied, the share of them on the object."""
    return _share(relevance == relevance.max(axis=1, keepdims=True), inside)


@register_localisation(reference="Kohlbrenner et al. 2020, arXiv 1910.09840", reads="positive relevance")
def AttributionLocalisation(relevance: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Share of the positive relevance that is on the object; NaN if no relevance is positive."""
    return _share(relevance, inside)


def _chosen_k(parameters: dict[str, Any], shape: Shape) -> dict[str, Any]:
    pixels = shape[1] * shape[2]
    k = parameters["k"] or max(1, pixels // 20)
    if k >= pixels:
        raise SaqEvalError(f"k={k} is not below the {pixels} pixels of the image")
    return {"k": k}


@register_localisation(reference="Theiner et al. 2022, arXiv 2104.14995", resolve=_chosen_k)
def TopKIntersection(relevance: np.ndarray, inside: np.ndarray, *, k: Pixels | None = None) -> np.ndarray:
    """Share of the k most relevant pixels that are on the object; if fewer than k are relevant, share of these.

    By default k is a twentieth of the image, 39 pixels of 28x28. Objects have more pixels, so a score of 1 is possible.
    """
    return _share(top_membership(relevance, np.full(len(relevance), k)), inside)


@register_localisation(reference="Arras et al. 2022, arXiv 2003.07258")
def RelevanceRankAccuracy(relevance: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Share of the k most relevant pixels that are on the object, where k is the object's number of pixels.

    If fewer than k pixels are relevant, it is the share of these.
    """
    return _share(top_membership(relevance, inside.sum(axis=1)), inside)


@register_localisation(reference="Arras et al. 2022, arXiv 2003.07258")
def RelevanceMassAccuracy(relevance: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Share of the relevance that is on the object."""
    return _share(relevance, inside)


@register_localisation(
    reference="Fawcett 2006, doi 10.1016/j.patrec.2005.10.010",
    chance=lambda task: np.where(_two_sided(task.masks.reshape(len(task.masks), -1)), 0.5, np.nan),
)
def AUC(relevance: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Probability that a pixel on the object is more relevant than a pixel off it: the area under the ROC curve.

    A pair of tied pixels counts as half. NaN if the object fills the image.
    """
    on, off = inside.sum(axis=1), (~inside).sum(axis=1)
    ranks = (rankdata(relevance, axis=1) * inside).sum(axis=1)
    scores = np.full(len(relevance), np.nan)
    return np.divide(ranks - on * (on + 1) / 2, on * off, out=scores, where=_two_sided(inside))


def _two_sided(inside: np.ndarray) -> np.ndarray:
    return np.logical_and(inside.any(axis=1), ~inside.all(axis=1))


def _share(weights: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return the share of weights, (n, pixels), that is on the evidence, bool (n, pixels)."""
    return (weights * inside).sum(axis=1) / weights.sum(axis=1)
