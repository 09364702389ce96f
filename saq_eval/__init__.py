"""saq_eval: does a network still look at the right part of the image after quantization?

The names below are the public Python API. Each is imported at its first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from saq_eval.core.torchvision_compat import declare_when_imported

if TYPE_CHECKING:
    from saq_eval.attribution import explain as explain
    from saq_eval.attribution import register_method as register_method
    from saq_eval.comparison import Comparison as Comparison
    from saq_eval.comparison import compare as compare
    from saq_eval.core.errors import SaqEvalError as SaqEvalError
    from saq_eval.data import Geometry as Geometry
    from saq_eval.data import Images as Images
    from saq_eval.data import load_dataset as load_dataset
    from saq_eval.data import open_images as open_images
    from saq_eval.data import register_dataset as register_dataset
    from saq_eval.evaluation.estimate import estimate as estimate
    from saq_eval.metrics import register_metric as register_metric
    from saq_eval.networks.architectures import register_architecture as register_architecture
    from saq_eval.networks.network import Network as Network
    from saq_eval.networks.preprocessing import Preprocessing as Preprocessing
    from saq_eval.networks.sources import register_source as register_source
    from saq_eval.quantization import Bits as Bits
    from saq_eval.quantization import Scheme as Scheme
    from saq_eval.quantization import freeze as freeze
    from saq_eval.quantization import quantize as quantize
    from saq_eval.quantization import register_quantizer as register_quantizer
    from saq_eval.quantization import register_scheme as register_scheme
    from saq_eval.studies.completion import train_study as train_study
    from saq_eval.studies.driver import train_model as train_model
    from saq_eval.studies.post_training import quantize_model as quantize_model
    from saq_eval.training.recipes import Recipe as Recipe
    from saq_eval.training.saliency_guided import SaliencyGuided as SaliencyGuided
    from saq_eval.zoo import add_model as add_model
    from saq_eval.zoo import find_models as find_models
    from saq_eval.zoo import load_model as load_model
    from saq_eval.zoo import register_zoo as register_zoo

__version__ = "0.1.0"

declare_when_imported()

_HOME = {
    "Bits": "quantization",
    "Comparison": "comparison",
    "Geometry": "data",
    "Images": "data",
    "Network": "networks.network",
    "Preprocessing": "networks.preprocessing",
    "Recipe": "training.recipes",
    "SaliencyGuided": "training.saliency_guided",
    "SaqEvalError": "core.errors",
    "Scheme": "quantization",
    "add_model": "zoo",
    "compare": "comparison",
    "estimate": "evaluation.estimate",
    "explain": "attribution",
    "find_models": "zoo",
    "freeze": "quantization",
    "load_dataset": "data",
    "load_model": "zoo",
    "open_images": "data",
    "quantize": "quantization",
    "quantize_model": "studies.post_training",
    "register_architecture": "networks.architectures",
    "register_dataset": "data",
    "register_method": "attribution",
    "register_metric": "metrics",
    "register_quantizer": "quantization",
    "register_scheme": "quantization",
    "register_source": "networks.sources",
    "register_zoo": "zoo",
    "train_model": "studies.driver",
    "train_study": "studies.completion",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'saq_eval' has no attribute {name!r}")
    return getattr(importlib.import_module(f"saq_eval.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted((*globals(), *_HOME))
