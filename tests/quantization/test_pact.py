"""PACT against the formulas of arXiv 1805.06085: equation 1 (clip), 2 (quantization), 3 (gradient of alpha)."""

import pytest
import torch
from torch import nn

from saq_eval.quantization import PACTActivation, SignedPACT


@pytest.mark.parametrize("bits", [2, 3, 4, 8, 16])
@pytest.mark.parametrize("alpha", [0.7, 3.0, 10.0])
def test_forward(bits, alpha):
    x = torch.linspace(-2 * alpha, 2 * alpha, 4001)
    exact = x.double()
    clipped = 0.5 * (exact.abs() - (exact - alpha).abs() + alpha)
    codes = clipped * (2**bits - 1) / alpha
    expected = torch.round(codes) * alpha / (2**bits - 1)
    # Single precision may round a value the other way that lies in the middle between two codes.
    decided = (codes - codes.floor() - 0.5).abs() > 1e-6 * 2**bits
    assert decided.float().mean() > 0.7
    torch.testing.assert_close(PACTActivation(bits, alpha)(x)[decided].double(), expected[decided], atol=1e-5, rtol=0)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_no_more_values_than_the_bit_width_allows(bits):
    y = PACTActivation(bits, 2.7)(torch.randn(50_000, generator=torch.Generator().manual_seed(0)) * 4)
    assert len(y.unique()) == 2**bits
    codes = y.double() * (2**bits - 1) / torch.tensor(2.7).double()
    assert (codes - codes.round()).abs().max() < 1e-4


def test_gradients():
    alpha = 1.5
    activation = PACTActivation(2, alpha)
    x = torch.tensor([-3.0, -1e-6, 0.2, 0.74, 1.4999, 1.5, 1.6, 40.0], requires_grad=True)
    upstream = torch.tensor([1.0, 2.0, 3.0, 5.0, 7.0, 11.0, 13.0, 17.0])
    activation(x).backward(upstream)
    assert x.grad.tolist() == [0, 0, 3, 5, 7, 0, 0, 0]
    assert activation.alpha.grad.item() == 11 + 13 + 17
    assert activation.alpha.grad.shape == ()


def test_gradient_of_alpha_is_zero_below_the_clip():
    activation = PACTActivation(4, 5.0)
    activation(torch.rand(100) * 4.99).sum().backward()
    assert activation.alpha.grad.item() == 0


def test_it_is_a_relu_to_attribution_libraries():
    assert isinstance(PACTActivation(4), nn.ReLU)
    assert PACTActivation(4).alpha.item() == 10  # where the paper starts it


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_the_signed_form_is_symmetric_on_one_level_less(bits):
    alpha, top = 2.5, 2 ** (bits - 1) - 1
    x = torch.linspace(-4, 4, 9001)
    y = SignedPACT(bits, alpha)(x)
    assert len(y.unique()) == 2**bits - 1 and 0 in y
    torch.testing.assert_close(SignedPACT(bits, alpha)(-x), -y)
    inside = x.abs() < alpha
    assert (y - x)[inside].abs().max() <= alpha / top / 2 * 1.001
    assert (y[x >= alpha] == y.max()).all() and y.max().item() == pytest.approx(alpha)


def test_gradients_of_the_signed_form():
    activation = SignedPACT(4, 1.5)
    x = torch.tensor([-3.0, -1.5, -1.4, 0.0, 0.7, 1.5, 9.0], requires_grad=True)
    upstream = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0])
    (activation(x) * upstream).sum().backward()
    assert x.grad.tolist() == [0, 0, 4, 8, 16, 0, 0]
    assert activation.alpha.grad.item() == 32 + 64 - 1 - 2
