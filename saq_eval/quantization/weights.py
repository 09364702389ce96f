"""Layers that compute with DoReFa-quantized weights (Zhou et al. 2016, arXiv 1606.06160, equation 9)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def dorefa_codes(latent: Tensor, bits: int) -> Tensor:
    """Return the integer codes of latent weights: round((2^k − 1) · (tanh(w) / (2 max|tanh(w)|) + 1/2)).

    Args:
        latent: float, any shape; the maximum is taken over the whole tensor.
        bits: k, from 2 to 16.

    Returns:
        Whole numbers from 0 to 2^k − 1 in `latent`'s dtype and shape.
    """
    squashed = torch.tanh(latent)
    # The paper's formula is undefined for a layer of zeros; any positive maximum gives it the middle code.
    unit = squashed / (2 * squashed.abs().max().clamp(min=torch.finfo(latent.dtype).tiny)) + 0.5
    return torch.round(unit * (2**bits - 1))


def dequantize(codes: Tensor, scale: Tensor, bits: int) -> Tensor:
    """Return the weights that codes stand for: (2 · code − (2^k − 1)) · scale, float32.

    DoReFa's levels are the odd multiples of `scale`, symmetric about zero. Every place that needs
    quantized weights (training, freezing, loading) computes them here, so they agree bit for bit.

    Args:
        codes: whole numbers from 0 to 2^k − 1, (out, ...).
        scale: float32, () or (out,): half a step, for the layer or for each output channel.
    """
    odd = 2 * codes.to(torch.float32) - (2**bits - 1)
    return odd * scale.reshape(-1, *(1,) * (codes.dim() - 1)) if scale.dim() else odd * scale


class _QuantizedWeight:
    """What `QuantConv2d` and `QuantLinear` share: a latent `weight` and its quantized value.

    DoReFa maps a layer's weights to [−1, 1]. `weight_range`, float32 (), a constant of the layer,
    maps them back to the range of the full-precision weights that the layer started from, so that
    the quantized twin starts as its parent and an output layer without batch norm keeps its logits' scale.
    """

    bits: int
    weight: nn.Parameter
    weight_range: Tensor

    def _adopt(self, weight: Tensor) -> None:
        """Set the latent weights such that their tanh is proportional to `weight`."""
        self.register_buffer("weight_range", weight.abs().max().detach().clone().to(torch.float32))
        unit = weight / self.weight_range.clamp(min=torch.finfo(weight.dtype).tiny)
        with torch.no_grad():
            self.weight.copy_(torch.atanh(unit * math.tanh(1.0)))

    @property
    def weight_scale(self) -> Tensor:
        """Half a quantization step: float32 ()."""
        return self.weight_range / (2**self.bits - 1)

    def weight_codes(self) -> Tensor:
        """Return the weights' integer codes, 0 to 2^bits − 1, in the shape of `weight`."""
        return dorefa_codes(self.weight.detach(), self.bits)

    def quantized_weight(self) -> Tensor:
        """Return the weights that the layer computes with.

        Their gradient reaches `weight` as if nothing were rounded and the maximum were a constant.
        """
        quantized = dequantize(self.weight_codes(), self.weight_scale, self.bits)
        squashed = torch.tanh(self.weight)
        surrogate = self.weight_range * squashed / squashed.detach().abs().max().clamp(min=1e-12)
        return quantized + (surrogate - surrogate.detach())


class QuantConv2d(_QuantizedWeight, nn.Conv2d):
    """A convolution whose weights are quantized to `bits` at each step (the training form)."""

    def __init__(self, source: nn.Conv2d, bits: int) -> None:
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
        self.bits = bits
        self._adopt(source.weight.detach())
        if source.bias is not None:
            self.bias = nn.Parameter(source.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.quantized_weight(), self.bias)


class QuantLinear(_QuantizedWeight, nn.Linear):
    """A linear layer whose weights are quantized to `bits` at each step (the training form)."""

    def __init__(self, source: nn.Linear, bits: int) -> None:
        super().__init__(source.in_features, source.out_features, source.bias is not None)
        self.bits = bits
        self._adopt(source.weight.detach())
        if source.bias is not None:
            self.bias = nn.Parameter(source.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.quantized_weight(), self.bias)
