"""Attribution by one rule for each layer of the network. The rules are in `rules`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from captum.attr import Deconvolution, DeepLift, GuidedBackprop
from torch import Tensor, nn

from saq_eval.attribution import rules
from saq_eval.attribution.base import Batch, register_method
from saq_eval.core.specs import Count, NotNegative, Positive
from saq_eval.data.fills import Fill, fill_images
from saq_eval.networks.private import precision


@register_method(
    "guided_backprop",
    family="rules",
    reference="Springenberg et al. 2015, arXiv 1412.6806",
    layers=rules.GUIDED_LAYERS,
)
def guided_backprop(batch: Batch) -> Tensor:
    """The gradient, of which every rectifier passes only the positive part back."""
    return GuidedBackprop(batch.network).attribute(batch.images, target=batch.targets)


@register_method(
    "deconvolution", family="rules", reference="Zeiler and Fergus 2014, arXiv 1311.2901", layers=rules.GUIDED_LAYERS
)
def deconvolution(batch: Batch) -> Tensor:
    """The backward signal, rectified at each rectifier, independent of the rectifier's input."""
    return Deconvolution(batch.network).attribute(batch.images, target=batch.targets)


@register_method(
    "deeplift",
    family="rules",
    reference="Shrikumar et al. 2017, arXiv 1704.02685",
    layers=rules.DEEPLIFT_LAYERS,
    in_flight=2,
    load=5.0,  # two images, in double precision, and what Captum's hooks keep
    passes=lambda parameters, shape: 2,
)
def deeplift(batch: Batch, *, fill: Fill = "black") -> Tensor:
    """DeepLIFT's Rescale rule: the part of the logit's difference from the fill's that each pixel contributes."""
    return _deeplift(batch, batch.images, fill_images(batch.images, fill), batch.targets)


@register_method(
    "deeplift_shap",
    family="rules",
    reference="Lundberg and Lee 2017, arXiv 1705.07874",
    layers=rules.DEEPLIFT_LAYERS,
    needs_background=True,
    in_flight=2,
    load=5.0,
    passes=lambda parameters, shape: 2 * parameters["n_background"],
)
def deeplift_shap(batch: Batch, *, n_background: Count = 10) -> Tensor:
    """DeepLIFT, averaged over typical images as references."""
    assert batch.background is not None
    references = batch.background[:n_background].to(batch.images)
    pairs = max(1, batch.batch_size // 2)
    total = torch.zeros_like(batch.images, dtype=torch.float64)
    for reference in references:
        for start in range(0, len(total), pairs):
            part = slice(start, start + pairs)
            images = batch.images[part].detach()
            total[part] += _deeplift(batch, images, reference.expand_as(images), batch.targets[part])
    return total / len(references)


def _deeplift(batch: Batch, images: Tensor, references: Tensor, targets: Tensor) -> Tensor:
    # A quantizer's output may jump by a step between two almost equal inputs. The multiplier is then very large, and
    # single precision loses the small difference that it multiplies. So this computes in double precision, and treats
    # differences below 1e-5 as zero.
    with _in_double(batch.network) as network:
        return (
            DeepLift(network, eps=1e-5)
            .attribute(images.detach().double().requires_grad_(), references.double(), target=targets)
            .detach()
        )


@contextmanager
def _in_double(network: nn.Module) -> Iterator[nn.Module]:
    """Let a private copy compute in double precision for a while; converting float32 there and back is exact."""
    before = precision(network)
    try:
        yield network.double()
    finally:
        network.to(before)


@register_method(
    "lrp",
    family="rules",
    reference="Bach et al. 2015, doi 10.1371/journal.pone.0130140; Kohlbrenner et al. 2020, arXiv 1910.09840",
    layers=rules.LRP_LAYERS,
    load=2.5,  # in double precision, and what Zennit's rules compute in a layer
)
def lrp(
    batch: Batch,
    *,
    convolution: Literal["zplus", "gamma"] = "zplus",
    gamma: NotNegative = 0.25,
    epsilon: Positive = 1e-6,
) -> Tensor:
    """Layer-wise relevance propagation with the composite ε⁺: z⁺ (or γ) in convolutions, ε in linear layers."""
    return _relevance(batch, convolution, gamma, epsilon)


@register_method(
    "lrp_epsilon",
    family="rules",
    reference="Bach et al. 2015, doi 10.1371/journal.pone.0130140",
    layers=rules.LRP_LAYERS,
    load=2.5,  # in double precision, and what Zennit's rules compute in a layer
)
def lrp_epsilon(batch: Batch, *, epsilon: Positive = 1e-6) -> Tensor:
    """Layer-wise relevance propagation with the ε rule in all layers; on ReLU networks close to input × gradient."""
    return _relevance(batch, "epsilon", 0.0, epsilon)


def _relevance(batch: Batch, convolution: str, gamma: float, epsilon: float) -> Tensor:
    images = batch.images.detach().double().requires_grad_()
    composite = rules.lrp_composite(convolution, gamma, epsilon)
    with _in_double(batch.network) as network, composite.context(network) as modified:
        logits = modified(images)
        start = torch.zeros_like(logits).scatter_(1, batch.targets[:, None], 1.0) * logits.detach()
        (relevance,) = torch.autograd.grad(logits, images, start)
    return relevance
