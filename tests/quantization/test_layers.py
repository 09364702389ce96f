"""Layers with quantized weights."""

import torch
from torch import nn

from saq_eval.quantization import DoReFa, QuantConv2d


def test_settings_of_the_convolution_are_kept():
    source = nn.Conv2d(4, 8, (3, 5), stride=2, padding=(1, 2), dilation=1, groups=2, bias=False, padding_mode="reflect")
    x = torch.randn(1, 4, 12, 12)
    torch.testing.assert_close(QuantConv2d(source, DoReFa(16))(x), source(x), atol=2e-4, rtol=0)
