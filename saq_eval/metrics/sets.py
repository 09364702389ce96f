"""Which metrics the name of a set stands for, and how requests become scorers."""

from __future__ import annotations

from collections.abc import Sequence

from saq_eval.core.specs import find_several
from saq_eval.metrics.base import METRICS, Scorer, find_scorer

_QUICK = ("FaithfulnessCorrelation", "PixelFlipping", "PointingGame", "RelevanceRankAccuracy", "SSIM", "Spearman")
# A metric that hides pixels has no verdict of its own: black, a digit's background, changes nothing where it hides
# nothing, and a blurred image is not what a network was trained on. Hence two fills each.
_HIDING = ("FaithfulnessCorrelation", "FaithfulnessEstimate", "PixelFlipping", "SymmetricRelevanceGain")
_STANDARD = (
    *(spec for name in _HIDING for spec in (name, f"{name}:fill=blur")),
    *("ROAD", "PointingGame", "RelevanceRankAccuracy", "RelevanceMassAccuracy", "AUC", "Focus", "MosaicPointing"),
    "Sparseness",
    *("SSIM", "SSIM:maps=raw", "Spearman", "Pearson", "Cosine", "TopKIoU:k=0.05", "TopKIoU", "TopKIoU:k=0.2", "EMD"),
)


def metric_sets() -> dict[str, list[str]]:
    """Return the names that stand for several metrics: "quick", "standard" (the default) and "full".

    The last holds every metric, each that hides pixels with two fills.
    """
    blurred = [f"{name}:fill=blur" for name in METRICS if "fill" in find_scorer(name).parameters]
    full = list(dict.fromkeys([*_STANDARD, *METRICS, *blurred]))
    return {"quick": list(_QUICK), "standard": list(_STANDARD), "full": full}


def find_scorers(specs: Sequence[str]) -> list[Scorer]:
    """Return metrics with parameters, sets of metrics taken apart and repetitions dropped.

    Raises:
        SaqEvalError: as `find_scorer` does, or if none is left.
    """
    return find_several("metric", specs, metric_sets(), METRICS, find_scorer)
