"""Convolution and linear layers that train with quantized weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saq_eval.quantization.quantizers import WeightQuantizer


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
