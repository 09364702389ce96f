"""DoReFa against its paper (arXiv 1606.06160, equation 9)."""

import pytest
import torch
from torch import nn

from saq_eval.quantization import DoReFa, QuantConv2d, QuantLinear


def paper_weights(latent, bits):
    squashed = torch.tanh(latent)
    unit = squashed / (2 * squashed.abs().max()) + 0.5
    return 2 * torch.round(unit * (2**bits - 1)) / (2**bits - 1) - 1


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_dorefa_codes_and_weights(bits):
    quantizer = DoReFa(bits)
    quantizer.adopt(torch.randn(6, 5, 3, 3))
    latent = torch.randn(6, 5, 3, 3, generator=torch.Generator().manual_seed(bits))
    codes = quantizer.codes(latent)
    assert torch.equal(codes, codes.round()) and codes.min() >= 0 and codes.max() <= 2**bits - 1
    assert codes.min() == 0 or codes.max() == 2**bits - 1  # the largest magnitude takes an outermost code
    torch.testing.assert_close(quantizer(latent), quantizer.range * paper_weights(latent, bits), atol=1e-6, rtol=1e-5)


def test_a_twin_starts_as_its_parent():
    parent = nn.Conv2d(4, 6, 3, padding=1)
    x = torch.randn(2, 4, 8, 8)
    torch.testing.assert_close(QuantConv2d(parent, DoReFa(16))(x), parent(x), atol=2e-4, rtol=0)
    # The quantized weights are the rounding of the parent's, on a grid over its own range.
    for bits in (2, 4, 8):
        layer = QuantConv2d(parent, DoReFa(bits))
        step = 2 * parent.weight.abs().max() / (2**bits - 1)
        assert (layer.quantizer(layer.weight) - parent.weight).abs().max() <= step / 2 * 1.001


def test_per_channel_each_channel_has_the_grid_of_its_own_range():
    parent = nn.Linear(30, 4)
    with torch.no_grad():
        parent.weight.mul_(torch.tensor([[0.01], [1.0], [10.0], [100.0]]))
    layer = QuantLinear(parent, DoReFa(4, "channel"))
    error = (layer.quantizer(layer.weight) - parent.weight).abs().amax(dim=1)
    step = 2 * parent.weight.abs().amax(dim=1) / 15
    assert (error <= step / 2 * 1.001).all()


def test_dorefas_gradient_is_that_of_the_unrounded_weights():
    layer = QuantLinear(nn.Linear(5, 3, bias=False), DoReFa(2))
    upstream = torch.randn(3, 5)
    (layer.quantizer(layer.weight) * upstream).sum().backward()
    squashed = torch.tanh(layer.weight.detach())
    expected = upstream * layer.quantizer.range / squashed.abs().max() * (1 - squashed**2)
    torch.testing.assert_close(layer.weight.grad, expected)
