"""Metrics of saliency maps, one module for each kind, and sets of metrics.

All files in this folder are imported, so a new file of metrics needs no other edit.
"""

import importlib
import pkgutil

from saq_eval.metrics.base import METRICS, Metric, Scorer, Task, find_scorer, register_metric
from saq_eval.metrics.maps import is_degenerate
from saq_eval.metrics.passes import MetricPasses
from saq_eval.metrics.refusing import refusal
from saq_eval.metrics.sets import find_scorers, metric_sets

for _file in pkgutil.iter_modules(__path__, f"{__name__}."):
    importlib.import_module(_file.name)  # registers the file's metrics

__all__ = [
    "METRICS",
    "Metric",
    "MetricPasses",
    "Scorer",
    "Task",
    "find_scorer",
    "find_scorers",
    "is_degenerate",
    "metric_sets",
    "refusal",
    "register_metric",
]
