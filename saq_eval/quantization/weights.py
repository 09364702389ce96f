"""Weights on few levels: the quantizers DoReFa and SAWB, and the layers that train with them."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saq_eval.quantization.stated import StatesBits

Granularity = Literal["layer", "channel"]


def dequantize(codes: Tensor, scale: Tensor, bits: int) -> Tensor:
    """Return the weights that codes stand for: (2 · code − (2^k − 1)) · scale, in `scale`'s dtype.

    The levels are the odd multiples of `scale`, symmetric about zero. Every place that needs
    quantized weights (training, freezing, loading) computes them here, so they agree bit for bit.

    Args:
        codes: whole numbers from 0 to 2^k − 1, (out, ...).
        scale: float32, () or (out,): half a step, for the layer or for each output channel.
    """
    odd = 2 * codes.to(scale.dtype) - (2**bits - 1)
    return odd * _per_channel(scale, codes)


def _per_channel(values: Tensor, weight: Tensor) -> Tensor:
    """Give values of shape () or (out,) the shape that broadcasts over `weight`, (out, ...)."""
    return values.reshape(-1, *(1,) * (weight.dim() - 1)) if values.dim() else values


class WeightQuantizer(StatesBits):
    """Turns a layer's latent weights into integer codes and a scale.

    Attributes:
        bits: k; codes run from 0 to 2^k − 1.
        granularity: whether statistics are taken over the whole layer or over each output channel.
    """

    def __init__(self, bits: int, granularity: Granularity = "layer") -> None:
        super().__init__(bits)
        self.granularity = granularity

    def adopt(self, weight: Tensor) -> Tensor:
        """Return the latent weights from which the quantized twin of a layer with `weight` (out, ...) starts."""
        raise NotImplementedError

    def scale(self, latent: Tensor) -> Tensor:
        """Return half a quantization step: float32, () or (out,), without gradient."""
        raise NotImplementedError

    def surrogate(self, latent: Tensor) -> Tensor:
        """Return what the weights would be without rounding: float32 in `latent`'s shape; their gradient is its."""
        raise NotImplementedError

    @torch.no_grad()
    def codes(self, latent: Tensor) -> Tensor:
        """Return the nearest codes: whole numbers from 0 to 2^bits − 1 in `latent`'s dtype and shape."""
        step = 2 * _per_channel(self.scale(latent), latent).clamp(min=torch.finfo(latent.dtype).tiny)
        top = 2**self.bits - 1
        return torch.round(self.surrogate(latent) / step + top / 2).clamp(0, top)

    def forward(self, latent: Tensor) -> Tensor:
        """Return the weights to compute with; gradients pass as if nothing were rounded."""
        quantized = dequantize(self.codes(latent), self.scale(latent), self.bits)
        surrogate = self.surrogate(latent)
        return quantized + (surrogate - surrogate.detach())

    def extra_repr(self) -> str:
        return f"bits={self.bits}, granularity={self.granularity!r}"


class DoReFa(WeightQuantizer):
    """Levels evenly spaced up to the largest magnitude, after a tanh (Zhou et al. 2016, arXiv 1606.06160, equation 9).

    codes = round((2^k − 1) · (tanh(w) / (2 max|tanh(w)|) + 1/2)), the maximum over the layer or over
    each output channel; a constant in the gradient. DoReFa maps weights to [−1, 1]. `range`, float32,
    () or (out,), a constant of the layer, maps them back to the range of the full-precision weights
    that the layer started from, so that the quantized twin starts as its parent and an output layer
    without batch norm keeps its logits' scale.
    """

    range: Tensor

    def adopt(self, weight: Tensor) -> Tensor:
        weight = weight.detach()
        self.register_buffer("range", self._largest(weight).to(torch.float32))
        unit = weight / _per_channel(self.range, weight).clamp(min=torch.finfo(weight.dtype).tiny)
        return torch.atanh(unit * math.tanh(1.0))  # so that tanh of the latent weights is proportional to `weight`

    def scale(self, latent: Tensor) -> Tensor:
        return self.range / (2**self.bits - 1)

    def surrogate(self, latent: Tensor) -> Tensor:
        squashed = torch.tanh(latent)
        # The paper's formula is undefined for a layer of zeros; any positive maximum gives it a middle code.
        largest = self._largest(squashed.detach()).clamp(min=torch.finfo(latent.dtype).tiny)
        return squashed / _per_channel(largest, squashed) * _per_channel(self.range, squashed)

    def _largest(self, weight: Tensor) -> Tensor:
        return weight.abs().max() if self.granularity == "layer" else weight.abs().flatten(1).amax(dim=1)


class SAWB(WeightQuantizer):
    """Statistics-aware weight binning for 2 bits (Choi et al. 2019, arXiv 1807.06964, section 3).

    The outermost of the four levels, ±α and ±α/3, lies at α = c1 · √E[w²] − c2 · E|w|, taken anew at
    each step over the layer or over each output channel. The coefficients are a regression of the
    mean-squared-error optimal α over the usual shapes of weight distributions.
    """

    C1, C2 = 3.12, 2.064

    def __init__(self, bits: int, granularity: Granularity = "layer") -> None:
        if bits != 2:
            raise ValueError(f"SAWB's coefficients are for 2 bits, not {bits}")
        super().__init__(bits, granularity)

    def adopt(self, weight: Tensor) -> Tensor:
        return weight.detach().clone()

    @torch.no_grad()
    def scale(self, latent: Tensor) -> Tensor:
        rows = latent.reshape(1, -1) if self.granularity == "layer" else latent.flatten(1)
        clip = self.C1 * rows.square().mean(dim=1).sqrt() - self.C2 * rows.abs().mean(dim=1)
        return (clip.squeeze(0) if self.granularity == "layer" else clip).to(torch.float32) / 3

    def surrogate(self, latent: Tensor) -> Tensor:
        return latent


class QuantConv2d(nn.Conv2d):
    """A convolution whose latent `weight` is quantized by `quantizer` at each step (the training form)."""

    def __init__(self, source: nn.Conv2d, quantizer: WeightQuantizer) -> None:
        super().__init__(
            source.in_channels,
            source.out_channels,
            source.kernel_size,
            source.stride,
            source.padding,
            source.dilation,
            source.groups,
            source.bias is not None,
            source.padding_mode,
        )
        _adopt(self, source, quantizer)

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.quantizer(self.weight), self.bias)


class QuantLinear(nn.Linear):
    """A linear layer whose latent `weight` is quantized by `quantizer` at each step (the training form)."""

    def __init__(self, source: nn.Linear, quantizer: WeightQuantizer) -> None:
        super().__init__(source.in_features, source.out_features, source.bias is not None)
        _adopt(self, source, quantizer)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.quantizer(self.weight), self.bias)


@torch.no_grad()
def _adopt(layer: nn.Conv2d | nn.Linear, source: nn.Conv2d | nn.Linear, quantizer: WeightQuantizer) -> None:
    layer.quantizer = quantizer
    layer.weight = nn.Parameter(quantizer.adopt(source.weight))
    if source.bias is not None:
        layer.bias = nn.Parameter(source.bias.detach().clone())
