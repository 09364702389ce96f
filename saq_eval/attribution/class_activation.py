"""Attribution by the feature maps of one layer.

The layer is looked up in `rules.layer_graph`. There, every use of a layer and every function is a separate module, so
the map depends on what the network computes, not on how its code is written. If a network cannot be converted to such
a graph, the layer is looked up among the network's own modules, and the user has to name it.
"""

from __future__ import annotations

import functools
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saq_eval.attribution import rules
from saq_eval.attribution.base import Batch, register_method
from saq_eval.attribution.rule_based import guided_backprop
from saq_eval.attribution.subject import gradient_reaches
from saq_eval.core.errors import SaqEvalError, unknown_name


@register_method("gradcam", family="class activation", reference="Selvaraju et al. 2017, arXiv 1610.02391")
def gradcam(batch: Batch, *, layer: str = "last") -> Tensor:
    """Grad-CAM: the positive part of the feature maps weighted by their mean gradients, at the last rectifier with an image."""
    maps, logits = _feature_maps(batch, _spatial_layer(batch.network, batch.images[:1], layer))
    if not gradient_reaches(logits, maps):
        raise SaqEvalError(f"gradcam needs a gradient, and none reaches the layer {layer!r} from the logits")
    (gradients,) = torch.autograd.grad(logits.gather(1, batch.targets[:, None]).sum(), maps)
    weights = gradients.mean(dim=(2, 3), keepdim=True)  # equation 1 of the paper; then equation 2
    coarse = F.relu((weights * maps.detach()).sum(dim=1, keepdim=True))
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


def _feature_maps(batch: Batch, layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Return a layer's output (n, k, h', w'), as a leaf of autograd's graph, and the logits computed from it."""
    kept: list[Tensor] = []

    def cut(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[-1].clone()  # a clone, because later layers may change it in place

    handle = layer.register_forward_hook(cut)
    try:
        logits = batch.network(batch.images.detach())
    finally:
        handle.remove()
    return kept[-1], logits


def _spatial_layer(network: nn.Module, image: Tensor, layer: str) -> nn.Module:
    """Return the layer of that name; for "last", the last rectifier (else the last convolution) with spatial extent.

    Spatial extent means that the layer's output is (n, k, h', w') with h' or w' above 1.

    Raises:
        SaqEvalError: if there is no such layer, or it is not clear which rectifier is the last.
    """
    found: dict[str, nn.Module] = {}  # in order of execution
    uses: Counter[str] = Counter()

    def note(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        uses[name] += 1
        if isinstance(output, Tensor) and output.dim() == 4 and max(output.shape[2:]) > 1:
            found[name] = module

    handles = [
        module.register_forward_hook(functools.partial(note, name))
        for name, module in network.named_modules()
        if not any(module.children()) and not isinstance(module, (*rules.HELPERS, torch.jit.ScriptModule))
    ]
    try:
        with torch.no_grad():
            network(image)
    finally:
        for handle in handles:
            handle.remove()
    found = {name: module for name, module in found.items() if uses[name] == 1}
    if layer != "last":
        if layer not in found:
            raise unknown_name("layer with spatial extent", layer, found)
        return found[layer]
    if found and not isinstance(network, rules.LayerGraph):
        raise SaqEvalError(
            "gradcam cannot tell which rectifier is the last, since the network's forward pass depends on its input's "
            f"values; name a layer, layer=…; valid: {', '.join(found)}"
        )
    for kinds in (rules.RECTIFIERS, (nn.Conv2d,)):
        last = [module for module in found.values() if isinstance(module, kinds)][-1:]
        if last:
            return last[0]
    raise SaqEvalError("gradcam needs a rectifier or convolution with spatial extent, and the network has none")
