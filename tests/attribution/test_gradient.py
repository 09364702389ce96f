"""Each gradient method against its paper's formula, computed by hand."""

import numpy as np
import torch
from captum.attr import NoiseTunnel, Saliency
from torch import nn

from saq_eval import explain, load_model
from saq_eval.core.randomness import derived_seed


def gradient(network, images, targets):
    pixels = images.clone().requires_grad_()
    network(pixels).gather(1, targets[:, None]).sum().backward()
    return pixels.grad


def test_saliency_is_the_gradients_magnitude(precise, precise_batch):
    expected = gradient(precise, *precise_batch).abs()[:, 0].float()
    torch.testing.assert_close(explain("saliency", precise, *precise_batch), expected, atol=1e-6, rtol=1e-5)
    assert expected.max() > 0


def test_input_x_gradient(precise, precise_batch):
    expected = (gradient(precise, *precise_batch) * precise_batch[0])[:, 0].float()
    torch.testing.assert_close(explain("input_x_gradient", precise, *precise_batch), expected, atol=1e-6, rtol=1e-5)


def test_integrated_gradients_follow_the_path_from_black(precise, precise_batch):
    images, targets = precise_batch
    nodes, weights = np.polynomial.legendre.leggauss(32)
    expected = sum(
        w / 2 * gradient(precise, images * (x + 1) / 2, targets) for x, w in zip(nodes, weights, strict=True)
    )
    ours = explain("integrated_gradients", precise, images, targets)
    torch.testing.assert_close(ours, (images * expected)[:, 0].float(), atol=1e-5, rtol=1e-4)


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


def noisy_gradients(network, images, targets, method, count, stdev):
    """Gradients of copies with the noise of image number k's own generator: (n, count, 1, 28, 28)."""
    per_image = []
    for index, (image, target) in enumerate(zip(images, targets, strict=True)):
        generator = torch.Generator().manual_seed(derived_seed(5, method, index))
        copies = image + stdev * torch.randn(count, *image.shape, generator=generator)
        per_image.append(gradient(network, copies, target.repeat(count)))
    return torch.stack(per_image)


def test_smoothgrad_and_vargrad_are_mean_and_variance_over_noisy_copies(precise, precise_batch):
    for method, reduce in (
        ("smoothgrad", lambda g: g.mean(dim=1).abs()),
        ("vargrad", lambda g: g.var(dim=1, unbiased=False)),
    ):
        expected = reduce(noisy_gradients(precise, *precise_batch, method, 9, 0.2))[:, 0].float()
        ours = explain(f"{method}:n_samples=9,stdev=0.2", precise, *precise_batch, seed=5)
        torch.testing.assert_close(ours, expected, atol=1e-4 * expected.max().item(), rtol=1e-4)


def test_smoothgrad_is_captums_but_for_the_draws(digits):
    images, targets = digits.images[:2], digits.labels[:2]
    network = load_model("digits", "cnn-fp32").network
    torch.manual_seed(0)
    captums = NoiseTunnel(Saliency(network)).attribute(
        images, nt_type="smoothgrad", nt_samples=400, stdevs=0.15, target=targets, abs=False, nt_samples_batch_size=50
    )
    ours = explain("smoothgrad:n_samples=400", network, images, targets)
    expected = captums.abs()[:, 0]
    assert (ours - expected).norm() < 0.15 * expected.norm()


def test_expected_gradients_are_complete_on_average(digits):
    images, targets = digits.images[:4], digits.labels[:4]
    network = load_model("digits", "cnn-fp32").network
    with torch.no_grad():
        rise = (network(images) - network(torch.zeros_like(images))).gather(1, targets[:, None])[:, 0]
    total = explain("gradient_shap:n_samples=600,stdev=0", network, images, targets).sum(dim=(1, 2))
    assert (total - rise).abs().sum() < 0.08 * rise.abs().sum()
