"""The scale of least squared error, beside what a long search finds."""

import pytest
import torch

from saq_eval.quantization.quantizers import dequantize
from saq_eval.quantization.quantizers.dorefa import DoReFa
from saq_eval.quantization.quantizers.mse import MSE

SHAPES = {
    "normal": lambda: torch.randn(6, 500),
    "heavy tails": lambda: torch.randn(6, 500) * torch.randn(6, 500).exp(),
    "uniform": lambda: torch.rand(6, 500) - 0.5,
    "one-sided": lambda: torch.rand(6, 500) + 1,
}


def error(weight, scale, bits):
    step = 2 * scale.reshape(-1, 1)
    codes = (weight / step + (2**bits - 1) / 2).round().clamp(0, 2**bits - 1)
    return (dequantize(codes, scale, bits) - weight).square().sum(dim=1)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("shape", SHAPES)
def test_no_other_scale_has_a_much_smaller_error(shape, bits):
    weight = SHAPES[shape]()
    quantizer = MSE(bits, "channel")
    found = (quantizer(weight) - weight).square().sum(dim=1)
    largest = weight.abs().amax(dim=1)
    searched = [error(weight, largest * share / (2**bits - 1), bits) for share in torch.linspace(0.01, 1.2, 1200)]
    # At many levels the error jumps from scale to scale by some per cent.
    assert (found <= (1.1 if bits == 8 else 1.03) * torch.stack(searched).amin(dim=0)).all()


def test_the_error_is_below_that_of_levels_up_to_the_largest_weight():
    weight = torch.randn(8, 300)
    dorefa = DoReFa(4, "channel")
    theirs = (dorefa(dorefa.adopt(weight)) - weight).square().mean()
    assert (MSE(4, "channel")(weight) - weight).square().mean() < 0.8 * theirs


def test_one_scale_for_a_layer_and_one_for_each_channel():
    weight = torch.randn(3, 2, 5, 5) * torch.tensor([1.0, 10.0, 0.0]).reshape(3, 1, 1, 1)
    assert MSE(4, "layer").scale(weight).shape == ()
    scale = MSE(4, "channel").scale(weight)
    assert scale.shape == (3,) and scale[1] > 5 * scale[0] > 0 and scale[2] == 0
    assert torch.equal(MSE(4, "channel")(weight)[2], torch.zeros(2, 5, 5))
