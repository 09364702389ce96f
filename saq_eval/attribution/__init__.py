"""Attribution: saliency maps of a network's decision, by many methods (Captum and Zennit do the work)."""

from saq_eval.attribution.methods import (
    METHODS,
    Batch,
    Explainer,
    Method,
    explain,
    find_explainer,
    find_explainers,
    method_sets,
    register_method,
)
from saq_eval.attribution.controls import CONTROLS  # isort: skip  (after the methods, so that lists end with it)

__all__ = [
    "CONTROLS",
    "METHODS",
    "Batch",
    "Explainer",
    "Method",
    "explain",
    "find_explainer",
    "find_explainers",
    "method_sets",
    "register_method",
]
