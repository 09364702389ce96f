"""Networks of timm, PyTorch image models: `timm:resnet18.a1_in1k@model.safetensors`. Needs the extra "timm"."""

from __future__ import annotations

import math
import warnings
from typing import Any

from torch import nn

from saq_eval.core.errors import SaqEvalWarning
from saq_eval.core.extras import import_extra
from saq_eval.data.geometry import Geometry, Resized
from saq_eval.networks.architectures import build
from saq_eval.networks.libraries import imagenet_classes, timm_builder
from saq_eval.networks.preprocessing import Preprocessing
from saq_eval.networks.sources.base import Opened, builds, read_named, register_source
from saq_eval.networks.sources.text import SourceText
from saq_eval.networks.weights import load_into


@register_source("timm")
def open_timm(source: SourceText, *, trust_code: bool) -> Opened:
    """Open a timm network; the number of its outputs follows from its weights, the preparation of pictures from its name."""
    name, builder = f"timm:{source.name}", timm_builder(source.name)
    stored = read_named(source, f"timm.create_model({source.name!r}, pretrained=True).state_dict()")
    arguments = dict(source.arguments)
    network = build(name, builder, arguments, seed=0)
    head = _head(network)
    rows = None if head is None else stored.tensors.get(f"{head[0]}.weight")
    if head is not None and rows is not None and rows.dim() and len(rows) != head[1] and "num_classes" not in arguments:
        arguments["num_classes"] = len(rows)
        network = build(name, builder, arguments, seed=0)
    load_into(network, stored.tensors, str(source.file))
    prepared = import_extra("timm.data", "timm", "a network of timm").resolve_model_data_config(network)
    return Opened(
        network.eval(),
        name,
        source.preprocessing(Preprocessing(tuple(prepared["mean"]), tuple(prepared["std"]))),
        source.geometry(_geometry(name, prepared)),
        _classes(network),
        stored.sha256,
        stored.size,
        builds(name, builder, arguments),
        arguments,
    )


def _head(network: Any) -> tuple[str, int] | None:
    """Return the name of the layer that timm calls the classifier, and the number of its outputs; `None` if it is no layer."""
    classifier = network.get_classifier()
    if not isinstance(classifier, (nn.Linear, nn.Conv2d)):
        return None
    return next((name, layer.weight.shape[0]) for name, layer in network.named_modules() if layer is classifier)


def _classes(network: Any) -> tuple[str, ...] | None:
    """Return the names of the outputs, if the name of timm's weights says that they are ImageNet's 1,000 classes."""
    of_imagenet = str(network.pretrained_cfg.get("tag", "")).endswith("in1k") and network.num_classes == 1000
    return imagenet_classes() if of_imagenet else None


def _geometry(name: str, prepared: dict[str, Any]) -> Geometry | None:
    """Return timm's resizing: the crop is the input size, and the side before it is that size divided by `crop_pct`."""
    _, height, width = prepared["input_size"]
    mode, interpolation = prepared["crop_mode"], prepared["interpolation"]
    if height != width or mode == "border" or interpolation not in ("bilinear", "bicubic"):
        warnings.warn(
            f"{name} asks for pictures of {height}x{width}, crop mode {mode}, {interpolation}, which is not available; "
            "say the size with ?size=…&crop=…",
            SaqEvalWarning,
            stacklevel=2,
        )
        return None
    resized: Resized = "both" if mode == "squash" else "shorter"
    return Geometry(math.floor(height / prepared["crop_pct"]), height, interpolation, resized)
