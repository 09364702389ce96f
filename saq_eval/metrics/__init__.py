"""Metrics of saliency maps, one module for each kind, and sets of metrics."""

from saq_eval.metrics import (  # noqa: F401  (registers the metrics)
    localisation,
    mosaics,
    non_sensitivity,
    quantus,
    relevance_gain,
    road,
    similarity,
)
from saq_eval.metrics.base import METRICS, Metric, Scorer, Task, find_scorer, register_metric
from saq_eval.metrics.maps import is_degenerate
from saq_eval.metrics.sets import find_scorers, metric_sets

__all__ = [
    "METRICS",
    "Metric",
    "Scorer",
    "Task",
    "find_scorer",
    "find_scorers",
    "is_degenerate",
    "metric_sets",
    "register_metric",
]
