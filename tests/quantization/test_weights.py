"""DoReFa weights against equation 9 of arXiv 1606.06160."""

import pytest
import torch
from torch import nn

from saq_eval.quantization import QuantConv2d, QuantLinear
from saq_eval.quantization.weights import dequantize, dorefa_codes


def paper_weights(latent, bits):
    squashed = torch.tanh(latent)
    unit = squashed / (2 * squashed.abs().max()) + 0.5
    return 2 * torch.round(unit * (2**bits - 1)) / (2**bits - 1) - 1


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_codes_and_weights(bits):
    latent = torch.randn(6, 5, 3, 3, generator=torch.Generator().manual_seed(bits))
    codes = dorefa_codes(latent, bits)
    assert torch.equal(codes, codes.round()) and codes.min() >= 0 and codes.max() <= 2**bits - 1
    assert codes.min() == 0 or codes.max() == 2**bits - 1  # the largest magnitude takes an outermost code
    weights = dequantize(codes, torch.tensor(1 / (2**bits - 1)), bits)
    torch.testing.assert_close(weights, paper_weights(latent, bits), atol=1e-6, rtol=0)


def test_dequantize_scales_each_output_channel():
    codes = torch.tensor([[0, 3], [1, 2]])
    assert dequantize(codes, torch.tensor([1.0, 10.0]), 2).tolist() == [[-3, 3], [-10, 10]]


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("make", [lambda: QuantConv2d(nn.Conv2d(3, 7, 3), 2), lambda: QuantLinear(nn.Linear(40, 9), 2)])
def test_layers_compute_with_few_values(make, bits):
    layer = make()
    layer.bits = bits
    assert len(layer.quantized_weight().unique()) <= 2**bits


def test_a_twin_starts_as_its_parent():
    parent = nn.Conv2d(4, 6, 3, padding=1)
    x = torch.randn(2, 4, 8, 8)
    torch.testing.assert_close(QuantConv2d(parent, 16)(x), parent(x), atol=2e-4, rtol=0)
    # The quantized weights are the rounding of the parent's, on a grid over its own range.
    for bits in (2, 4, 8):
        weights = QuantConv2d(parent, bits).quantized_weight()
        step = 2 * parent.weight.abs().max() / (2**bits - 1)
        assert (weights - parent.weight).abs().max() <= step / 2 * 1.001


def test_gradient_is_that_of_the_unrounded_weights():
    layer = QuantLinear(nn.Linear(5, 3, bias=False), 2)
    upstream = torch.randn(3, 5)
    (layer.quantized_weight() * upstream).sum().backward()
    squashed = torch.tanh(layer.weight.detach())
    expected = upstream * layer.weight_range / squashed.abs().max() * (1 - squashed**2)
    torch.testing.assert_close(layer.weight.grad, expected)


def test_a_layer_of_zeros_stays_finite():
    layer = nn.Linear(3, 2)
    nn.init.zeros_(layer.weight)
    twin = QuantLinear(layer, 4)
    twin(torch.ones(1, 3)).sum().backward()
    assert torch.equal(twin.quantized_weight(), torch.zeros(2, 3))
    assert torch.isfinite(twin.weight.grad).all()


def test_settings_of_the_convolution_are_kept():
    source = nn.Conv2d(4, 8, (3, 5), stride=2, padding=(1, 2), dilation=1, groups=2, bias=False, padding_mode="reflect")
    x = torch.randn(1, 4, 12, 12)
    torch.testing.assert_close(QuantConv2d(source, 16)(x), source(x), atol=2e-4, rtol=0)
