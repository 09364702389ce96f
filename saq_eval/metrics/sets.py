"""Sets of metrics, and the conversion of names to scorers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

from saq_eval.core.specs import Engine, find_several
from saq_eval.metrics.base import METRICS, Scorer, find_scorer

_QUICK = ("FaithfulnessCorrelation", "PixelFlipping", "PointingGame", "RelevanceRankAccuracy", "SSIM", "Spearman")
# A metric that hides pixels is used with two fills, because neither fill is enough alone. Black does not change a digit's
# black background. Blurred images are not what a network was trained on.
_HIDING = ("FaithfulnessCorrelation", "FaithfulnessEstimate", "PixelFlipping", "SymmetricRelevanceGain")
_STANDARD = (
    *(spec for name in _HIDING for spec in (name, f"{name}:fill=blur")),
    *("ROAD", "PointingGame", "RelevanceRankAccuracy", "RelevanceMassAccuracy", "AUC", "Focus", "MosaicPointing"),
    "Sparseness",
    *("SSIM", "SSIM:maps=raw", "Spearman", "Pearson", "Cosine", "TopKIoU:k=0.05", "TopKIoU", "TopKIoU:k=0.2", "EMD"),
)


def metric_sets() -> dict[str, list[str]]:
    """Return the metrics of each set: "quick", "standard" (the default) and "full".

    "full" has all metrics. Those that hide pixels are in it with two fills.
    """
    blurred = [f"{name}:fill=blur" for name in METRICS if "fill" in find_scorer(name).parameters]
    full = list(dict.fromkeys([*_STANDARD, *METRICS, *blurred]))
    return {"quick": list(_QUICK), "standard": list(_STANDARD), "full": full}


def find_scorers(specs: Sequence[str | Callable[..., np.ndarray]], engine: Engine = "native") -> list[Scorer]:
    """Return metrics with parameters; a set's name stands for all of its metrics, and repetitions are dropped.

    A function is a metric too; see `find_scorer`.

    Raises:
        SaqEvalError: as `find_scorer` does, if two functions have one name, or if there is no metric.
    """
    return find_several("metric", specs, metric_sets(), METRICS, functools.partial(find_scorer, engine=engine))
