"""Convolution and linear layers that train with quantized weights."""

from __future__ import annotations

from typing import Literal, TypedDict, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saq_eval.quantization.quantizers import WeightQuantizer

Size = tuple[int, int]


class Geometry(TypedDict):
    """The arguments of a 2-d convolution but its bias."""

    in_channels: int
    out_channels: int
    kernel_size: Size
    stride: Size
    padding: str | Size
    dilation: Size
    groups: int
    padding_mode: Literal["zeros", "reflect", "replicate", "circular"]


def geometry_of(layer: nn.Conv2d) -> Geometry:
    """Return what another convolution of the same geometry is built with."""
    # Torch's annotations leave open how many axes a convolution has.
    return {
        "in_channels": layer.in_channels,
        "out_channels": layer.out_channels,
        "kernel_size": cast(Size, layer.kernel_size),
        "stride": cast(Size, layer.stride),
        "padding": cast(str | Size, layer.padding),
        "dilation": cast(Size, layer.dilation),
        "groups": layer.groups,
        "padding_mode": layer.padding_mode,
    }


class QuantConv2d(nn.Conv2d):
    """A convolution whose latent `weight` is quantized by `quantizer` at each step (the training form)."""

    quantizer: WeightQuantizer

    def __init__(self, source: nn.Conv2d, quantizer: WeightQuantizer) -> None:
        super().__init__(**geometry_of(source), bias=source.bias is not None)
        _adopt(self, source, quantizer)

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.quantizer(self.weight), self.bias)


class QuantLinear(nn.Linear):
    """A linear layer whose latent `weight` is quantized by `quantizer` at each step (the training form)."""

    quantizer: WeightQuantizer

    def __init__(self, source: nn.Linear, quantizer: WeightQuantizer) -> None:
        super().__init__(source.in_features, source.out_features, source.bias is not None)
        _adopt(self, source, quantizer)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.quantizer(self.weight), self.bias)


@torch.no_grad()
def _adopt(layer: QuantConv2d | QuantLinear, source: nn.Conv2d | nn.Linear, quantizer: WeightQuantizer) -> None:
    layer.quantizer = quantizer
    layer.weight = nn.Parameter(quantizer.adopt(source.weight))
    if source.bias is not None:
        layer.bias = nn.Parameter(source.bias.detach().clone())
