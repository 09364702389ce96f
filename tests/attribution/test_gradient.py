"""Each method against its paper's formula, computed by hand; and properties that all methods share."""

import numpy as np
import pytest
import torch
from torch import nn

from saq_eval import SaqEvalError, explain, freeze, load_model, quantize
from saq_eval.attribution import METHODS


@pytest.fixture
def batch(digits):
    return digits.images[:6], digits.labels[:6]


@pytest.fixture(params=["fp32", "w2a2"])
def network(request, cnn):
    return freeze(quantize(cnn, request.param))


def gradient(network, images, targets):
    pixels = images.clone().requires_grad_()
    network(pixels).gather(1, targets[:, None]).sum().backward()
    return pixels.grad


def test_saliency_is_the_gradients_magnitude(network, batch):
    expected = gradient(network, *batch).abs()[:, 0]
    torch.testing.assert_close(explain("saliency", network, *batch), expected, atol=1e-6, rtol=1e-5)
    assert expected.max() > 0


def test_input_x_gradient(network, batch):
    expected = (gradient(network, *batch) * batch[0])[:, 0]
    torch.testing.assert_close(explain("input_x_gradient", network, *batch), expected, atol=1e-6, rtol=1e-5)


def test_integrated_gradients_follow_the_path_from_black(network, batch):
    images, targets = batch
    nodes, weights = np.polynomial.legendre.leggauss(32)
    expected = sum(
        w / 2 * gradient(network, images * (x + 1) / 2, targets) for x, w in zip(nodes, weights, strict=True)
    )
    ours = explain("integrated_gradients", network, images, targets)
    torch.testing.assert_close(ours, (images * expected.float())[:, 0], atol=1e-5, rtol=1e-4)


def test_integrated_gradients_are_complete_on_full_precision(batch):
    images, targets = batch
    network = load_model("digits", "cnn-fp32").network
    with torch.no_grad():
        rise = (network(images) - network(torch.zeros_like(images))).gather(1, targets[:, None])[:, 0]
    total = explain("integrated_gradients", network, images, targets).sum(dim=(1, 2))
    assert ((total - rise).abs() / rise.abs()).mean() < 0.06


def test_smoothgrad_averages_signed_gradients_of_noisy_copies():
    # The gradient of w·relu(x) is w where x + noise > 0: its mean over noise is w·P(noise > −x).
    network = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(64, 2, bias=False)).eval()
    images, targets = torch.full((1, 1, 8, 8), 0.05), torch.tensor([1])
    ours = torch.stack([explain("smoothgrad", network, images, targets, seed=seed) for seed in range(40)]).mean(0)
    expected = network[2].weight[1].reshape(8, 8).abs() * torch.distributions.Normal(0, 0.15).cdf(torch.tensor(0.05))
    assert ((ours[0] - expected).abs() / expected.abs()).mean() < 0.04


def test_gradient_shap_is_input_x_weight_on_a_linear_network():
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).eval()
    images, targets = torch.rand(2, 1, 8, 8), torch.tensor([0, 2])
    ours = torch.stack([explain("gradient_shap", network, images, targets, seed=seed) for seed in range(60)]).mean(0)
    expected = (images.flatten(1) * network[1].weight[targets]).reshape(2, 8, 8)
    assert (ours - expected).abs().max() < 0.01 * expected.abs().max() + 0.09 / (60 * 25) ** 0.5


def test_occlusion_is_the_mean_logit_drop_of_the_windows_over_a_pixel(network, batch):
    images, targets = batch[0][:2], batch[1][:2]
    with torch.no_grad():
        before = network(images).gather(1, targets[:, None])[:, 0]
        total, windows = torch.zeros(2, 28, 28), torch.zeros(28, 28)
        for top in range(0, 22, 3):
            for left in range(0, 22, 3):
                area = (slice(top, top + 7), slice(left, left + 7))
                occluded = images.clone()
                occluded[:, :, *area] = 0
                drop = before - network(occluded).gather(1, targets[:, None])[:, 0]
                total[:, *area] += drop[:, None, None]
                windows[area] += 1
    torch.testing.assert_close(explain("occlusion", network, images, targets), total / windows, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_maps_do_not_depend_on_the_batch(method, network, batch):
    images, targets = batch
    whole = explain(method, network, images, targets, indices=[9, 8, 7, 6, 5, 4], batch_size=64)
    assert whole.shape == (6, 28, 28) and whole.dtype == torch.float32 and torch.isfinite(whole).all()
    single = explain(method, network, images, targets, indices=[9, 8, 7, 6, 5, 4], batch_size=1)
    # Rounding depends on the batch, and moves a gradient where it moves a pixel over a rectifier's edge.
    tolerance = {"atol": 1e-3 * whole.abs().max().item(), "rtol": 1e-3}
    torch.testing.assert_close(whole, single, **tolerance)
    reordered = explain(method, network, images.flip(0), targets.flip(0), indices=[4, 5, 6, 7, 8, 9], batch_size=4)
    torch.testing.assert_close(whole, reordered.flip(0), **tolerance)


@pytest.mark.parametrize("method", METHODS)
def test_only_random_methods_depend_on_the_seed(method, network, batch):
    state = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    same = torch.equal(explain(method, network, *batch, seed=0), explain(method, network, *batch, seed=1))
    assert same is not METHODS[method].random
    assert torch.equal(state[0], torch.random.get_rng_state()) and (state[1] == np.random.get_state()[1]).all()


@pytest.mark.parametrize("method", METHODS)
def test_the_given_class_is_explained(method, network, batch):
    images, targets = batch
    other = explain(method, network, images, (targets + 1) % 10)
    assert not torch.allclose(explain(method, network, images, targets), other)


def test_unknown_method():
    with pytest.raises(SaqEvalError, match="unknown method 'smooth_grad'; did you mean 'smoothgrad'"):
        explain("smooth_grad", nn.Identity(), torch.zeros(1, 1, 2, 2), torch.tensor([0]))
