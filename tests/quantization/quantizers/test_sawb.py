"""SAWB against its paper (arXiv 1807.06964)."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from saq_eval import SaqEvalError
from saq_eval.quantization import SAWB, QuantLinear


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
    with pytest.raises(SaqEvalError, match="SAWB quantizes weights to 2 bits, not 4; valid for 4 bits: dorefa, mse$"):
        SAWB(4)
