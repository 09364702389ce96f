"""Which methods the name of a set stands for, and how requests become explainers."""

from __future__ import annotations

from collections.abc import Sequence

from saq_eval.attribution.base import METHODS, Explainer, find_explainer
from saq_eval.core.specs import find_several

# Chosen for what a first look, a comparison and a study need; the last holds every method but the controls.
_QUICK = ("saliency", "integrated_gradients", "lrp")
_STANDARD = (
    *("saliency", "input_x_gradient", "integrated_gradients", "smoothgrad", "gradient_shap"),
    *("guided_backprop", "deeplift", "lrp", "gradcam", "occlusion"),
)


def method_sets() -> dict[str, list[str]]:
    """Return the names that stand for several methods: "quick", "standard" and "full"."""
    full = [name for name, method in METHODS.items() if method.family != "control"]
    return {"quick": list(_QUICK), "standard": list(_STANDARD), "full": full}


def find_explainers(specs: Sequence[str]) -> list[Explainer]:
    """Return methods with parameters, sets of methods taken apart and repetitions dropped.

    Raises:
        SaqEvalError: as `find_explainer` does, or if none is left.
    """
    return find_several("method", specs, method_sets(), METHODS, find_explainer)
