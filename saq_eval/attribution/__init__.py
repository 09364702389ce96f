"""Attribution: saliency maps of a network's decision, by many methods (with Captum and Zennit)."""

from saq_eval.attribution.base import METHODS, Batch, Explainer, Method, find_explainer, register_method
from saq_eval.attribution.explaining import explain, refusal
from saq_eval.attribution.sets import find_explainers, method_sets

from saq_eval.attribution import (  # noqa: F401  isort: skip  (register the methods, in the order of lists)
    gradient,
    rule_based,
    class_activation,
    perturbation,
    controls,
)
from saq_eval.attribution.controls import CONTROLS  # isort: skip

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
    "refusal",
    "register_method",
]
