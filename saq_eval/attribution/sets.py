"""Sets of methods, and the conversion of names to explainers."""

from __future__ import annotations

from collections.abc import Sequence

from saq_eval.attribution.base import METHODS, Attribute, Explainer, find_explainer
from saq_eval.core.specs import find_several

# "quick" is for a first look, "standard" for a comparison, and "full", which has all methods except controls, for a study.
_QUICK = ("saliency", "integrated_gradients", "lrp")
_STANDARD = (
    *("saliency", "input_x_gradient", "integrated_gradients", "smoothgrad", "gradient_shap"),
    *("guided_backprop", "deeplift", "lrp", "gradcam", "occlusion"),
)


def method_sets() -> dict[str, list[str]]:
    """Return the names of the methods in each set: "quick", "standard" and "full"."""
    full = [name for name, method in METHODS.items() if method.family != "control"]
    return {"quick": list(_QUICK), "standard": list(_STANDARD), "full": full}


def find_explainers(specs: Sequence[str | Attribute]) -> list[Explainer]:
    """Return methods with parameters; a set's name stands for all of its methods, and repetitions are dropped.

    A function is a method too; see `find_explainer`.

    Raises:
        SaqEvalError: as `find_explainer` does, if two functions have one name, or if there is no method.
    """
    return find_several("method", specs, method_sets(), METHODS, find_explainer)
