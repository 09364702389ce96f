"""Attribution by the feature maps of one layer."""

from __future__ import annotations

import functools
from typing import Any

import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn
from torch.nn import functional as F

from saq_eval.attribution import rules
from saq_eval.attribution.base import Batch, register_method
from saq_eval.attribution.rule_based import guided_backprop
from saq_eval.errors import SaqEvalError, unknown_name


@register_method("gradcam", family="class activation", reference="Selvaraju et al. 2017, arXiv 1610.02391")
def gradcam(batch: Batch, *, layer: str = "last") -> Tensor:
    """Grad-CAM: the positive part of the feature maps weighted by their mean gradients, at the last rectifier with an image."""
    cam = LayerGradCam(batch.network, _spatial_layer(batch.network, batch.images[:1], layer))
    coarse = cam.attribute(batch.images, target=batch.targets, relu_attributions=True)
    return F.interpolate(coarse, batch.images.shape[2:], mode="bilinear", align_corners=False)


@register_method(
    "guided_gradcam",
    family="class activation",
    reference="Selvaraju et al. 2017, arXiv 1610.02391",
    layers=rules.GUIDED_LAYERS,
    passes=lambda parameters: 2,
)
def guided_gradcam(batch: Batch, *, layer: str = "last") -> Tensor:
    """Guided backpropagation times Grad-CAM."""
    return guided_backprop(batch).detach() * gradcam(batch, layer=layer).detach()


def _spatial_layer(network: nn.Module, image: Tensor, layer: str) -> nn.Module:
    """Return a layer by name, or the last rectifier (else the last convolution) whose output has spatial extent.

    Raises:
        SaqEvalError: if there is none.
    """
    found: list[tuple[str, nn.Module]] = []

    def note(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.dim() == 4 and max(output.shape[2:]) > 1:
            found.append((name, module))

    handles = [
        module.register_forward_hook(functools.partial(note, name))
        for name, module in network.named_modules()
        if not any(module.children())
    ]
    try:
        with torch.no_grad():
            network(image)
    finally:
        for handle in handles:
            handle.remove()
    # In a copy with rules the layers that were replaced have other names; the name before counts.
    named = {name.removesuffix("_explained"): module for name, module in found}
    if layer != "last":
        if layer not in named:
            raise unknown_name("layer with spatial extent", layer, named)
        return named[layer]
    for kinds in (rules.RECTIFIERS, (nn.Conv2d,)):
        last = [module for _, module in found if isinstance(module, kinds)][-1:]
        if last:
            return last[0]
    raise SaqEvalError("gradcam needs a rectifier or convolution with spatial extent, and the network has none")
