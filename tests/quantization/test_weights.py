"""Weight quantizers against their papers: DoReFa (arXiv 1606.06160, equation 9), SAWB (arXiv 1807.06964)."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from saq_eval.quantization import SAWB, DoReFa, QuantConv2d, QuantLinear
from saq_eval.quantization.weights import dequantize


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


def test_dequantize_scales_each_output_channel():
    codes = torch.tensor([[0, 3], [1, 2]])
    assert dequantize(codes, torch.tensor([1.0, 10.0]), 2).tolist() == [[-3, 3], [-10, 10]]


QUANTIZERS = [
    DoReFa(2),
    DoReFa(4),
    DoReFa(8),
    DoReFa(4, "channel"),
    SAWB(2),
    SAWB(2, "channel"),
]


@pytest.mark.parametrize("quantizer", QUANTIZERS, ids=repr)
@pytest.mark.parametrize("source", [nn.Conv2d(3, 7, 3), nn.Linear(40, 7)])
def test_layers_compute_with_few_values(source, quantizer):
    layer = (QuantConv2d if isinstance(source, nn.Conv2d) else QuantLinear)(source, quantizer)
    weights = quantizer(layer.weight)
    assert all(len(channel.unique()) <= 2**quantizer.bits for channel in weights)
    if quantizer.granularity == "layer":
        assert len(weights.unique()) <= 2**quantizer.bits
    else:
        assert quantizer.scale(layer.weight).shape == (7,)
    assert torch.equal(
        weights, dequantize(quantizer.codes(layer.weight), quantizer.scale(layer.weight), quantizer.bits)
    )


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


def test_sawbs_levels():
    weight = torch.randn(50, 40, generator=torch.Generator().manual_seed(0))
    clip = 3.12 * weight.square().mean().sqrt() - 2.064 * weight.abs().mean()
    torch.testing.assert_close(SAWB(2)(weight).unique(), torch.stack([-clip, -clip / 3, clip / 3, clip]))
    middle = weight.abs() < clip / 3
    assert torch.equal(SAWB(2).codes(weight)[middle], torch.where(weight[middle] > 0, 2.0, 1.0))


@pytest.mark.parametrize("distribution", [stats.norm(), stats.uniform(-1, 2), stats.laplace(), stats.logistic()])
def test_sawbs_clip_is_near_the_one_of_least_error(distribution):
    weight = torch.tensor(distribution.ppf((np.arange(20_000) + 0.5) / 20_000), dtype=torch.float32).reshape(100, -1)

    def error(clip):
        codes = torch.round((weight / clip).clamp(-1, 1) * 1.5 + 1.5)
        return ((2 * codes - 3) * clip / 3 - weight).square().mean()

    clip = 3 * SAWB(2).scale(weight)
    least = min(error(factor * clip) for factor in torch.linspace(0.5, 2, 301))
    assert error(clip) <= 1.02 * least


def test_sawbs_gradient_passes_straight_through():
    layer = QuantLinear(nn.Linear(5, 3, bias=False), SAWB(2))
    upstream = torch.randn(3, 5)
    (layer.quantizer(layer.weight) * upstream).sum().backward()
    torch.testing.assert_close(layer.weight.grad, upstream)


def test_sawb_is_for_2_bits():
    with pytest.raises(ValueError, match="for 2 bits, not 4"):
        SAWB(4)


@pytest.mark.parametrize("quantizer", QUANTIZERS, ids=repr)
def test_a_layer_of_zeros_stays_finite(quantizer):
    layer = nn.Linear(3, 2)
    nn.init.zeros_(layer.weight)
    twin = QuantLinear(layer, quantizer)
    twin(torch.ones(1, 3)).sum().backward()
    assert torch.equal(quantizer(twin.weight), torch.zeros(2, 3))
    assert torch.isfinite(twin.weight.grad).all()


def test_settings_of_the_convolution_are_kept():
    source = nn.Conv2d(4, 8, (3, 5), stride=2, padding=(1, 2), dilation=1, groups=2, bias=False, padding_mode="reflect")
    x = torch.randn(1, 4, 12, 12)
    torch.testing.assert_close(QuantConv2d(source, DoReFa(16))(x), source(x), atol=2e-4, rtol=0)
