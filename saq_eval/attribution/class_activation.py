"""Attribution by the feature maps of one layer.

The layer is looked up in `rules.layer_graph`. There, every use of a layer and every function is a separate module, so
the map depends on what the network computes, not on how its code is written. If a network cannot be converted to such
a graph, the layer is looked up among the network's own modules, and the user has to name it, unless it is a transformer.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saq_eval.attribution import rules
from saq_eval.attribution.base import Batch, register_method
from saq_eval.attribution.feature_maps import feature_map_of, find_layer
from saq_eval.attribution.rule_based import guided_backprop
from saq_eval.core.errors import Unsupported
from saq_eval.networks.private import gradient_reaches


@register_method("gradcam", family="class activation", reference="Selvaraju et al. 2017, arXiv 1610.02391")
def gradcam(batch: Batch, *, layer: str = "last") -> Tensor:
    """Grad-CAM: the positive part of the feature maps weighted by their mean gradients, at the last convolution's maps.

    The maps are those after the last convolution's activation and residual sum. In a vision transformer, which has no
    convolution after its patches, they are the tokens at the first norm of the last block: behind it, only the class
    token matters to the logits of most transformers, so the other tokens would have no gradient (as the documentation of
    pytorch-grad-cam advises, Gildenblat et al. 2021).
    """
    chosen = find_layer(batch.network, batch.images[:1], layer, "gradcam")
    output, logits = _output_of(batch, chosen)
    if not gradient_reaches(logits, output):
        raise Unsupported(f"no gradient reaches the layer {layer!r} from the logits", who="gradcam")
    (gradients,) = torch.autograd.grad(logits.gather(1, batch.targets[:, None]).sum(), output)
    size = (batch.images.shape[2], batch.images.shape[3])
    maps, gradients = (feature_map_of(tensor, chosen, size) for tensor in (output.detach(), gradients))
    weights = gradients.mean(dim=(2, 3), keepdim=True)  # equation 1 of the paper; then equation 2
    coarse = F.relu((weights * maps).sum(dim=1, keepdim=True))
    return F.interpolate(coarse, size, mode="bilinear", align_corners=False)


@register_method(
    "guided_gradcam",
    family="class activation",
    reference="Selvaraju et al. 2017, arXiv 1610.02391",
    layers=rules.GUIDED_LAYERS,
    passes=lambda parameters, shape: 2,
)
def guided_gradcam(batch: Batch, *, layer: str = "last") -> Tensor:
    """Guided backpropagation times Grad-CAM."""
    return guided_backprop(batch).detach() * gradcam(batch, layer=layer).detach()


def _output_of(batch: Batch, layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Return a layer's output, as a leaf of autograd's graph, and the logits computed from it."""
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
