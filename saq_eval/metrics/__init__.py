"""Metrics of saliency maps: faithfulness and localisation (Quantus), similarity to a baseline's maps (scikit-image, SciPy)."""

from saq_eval.metrics import quantus, similarity  # noqa: F401  (registers the metrics)
from saq_eval.metrics.base import METRICS, Metric, Task, is_degenerate

__all__ = ["METRICS", "Metric", "Task", "is_degenerate"]
