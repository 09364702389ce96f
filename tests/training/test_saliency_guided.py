"""Saliency-guided training against algorithm 1 and equation 2 of arXiv 2111.14338."""

import numpy as np
import pytest
import torch

from saq_eval import SaliencyGuided, SaqEvalError
from saq_eval.training.saliency_guided import input_gradient, mask_features, saliency_guided_loss


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("ranking", ["magnitude", "signed"])
@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 1.0])
def test_masking_hits_exactly_the_lowest_gradient_features(ranking, fraction):
    images = torch.rand(5, 2, 6, 6, generator=generator()) + 2
    gradient = torch.randn(5, 2, 6, 6, generator=generator(1))
    masked = mask_features(images, gradient, SaliencyGuided(fraction, ranking=ranking), generator())
    count = round(fraction * 72)
    for image, result, slopes in zip(images, masked, gradient, strict=True):
        key = slopes.abs() if ranking == "magnitude" else slopes
        expected = set(np.argsort(key.flatten().numpy())[:count].tolist())
        changed = set(np.flatnonzero((image != result).flatten().numpy()).tolist())
        assert changed == expected


def test_noise_is_uniform_in_each_images_own_range():
    images = torch.rand(3, 1, 64, 64, generator=generator())
    images[0] *= 0.1
    images[1] = images[1] * 5 - 10
    masked = mask_features(images, torch.zeros_like(images), SaliencyGuided(1.0), generator(2))
    for image, noise in zip(images, masked, strict=True):
        low, high = image.min(), image.max()
        assert noise.min() >= low and noise.max() <= high
        unit = ((noise - low) / (high - low)).flatten().sort().values
        # Kolmogorov-Smirnov: below 1.95 / sqrt(n) with probability 0.999.
        assert (unit - torch.linspace(0, 1, len(unit))).abs().max() < 1.95 / len(unit) ** 0.5


def test_input_gradient_is_the_true_class_logits_in_eval_mode(cnn, digits):
    images, labels = digits.images[:4], digits.labels[:4]
    cnn.train()
    statistics = cnn.norm1.running_mean.clone()
    gradient = input_gradient(cnn, images, labels)
    assert cnn.training and torch.equal(cnn.norm1.running_mean, statistics)
    assert all(p.grad is None for p in cnn.parameters())
    cnn.eval()
    for image, label, expected in zip(images, labels, gradient, strict=True):
        pixels = image[None].clone().requires_grad_()
        cnn(pixels)[0, label].backward()
        torch.testing.assert_close(pixels.grad[0], expected, atol=1e-6, rtol=1e-4)


def test_loss_is_cross_entropy_plus_weighted_divergence(cnn, digits):
    images, labels = digits.images[:8], digits.labels[:8]
    settings = SaliencyGuided(0.4, weight=2.5)
    loss, logits = saliency_guided_loss(cnn, images, labels, settings, generator(3))
    masked = mask_features(images, input_gradient(cnn, images, labels), settings, generator(3))
    with torch.no_grad():
        p, q = cnn(images).softmax(1), cnn(masked).softmax(1)
        cross_entropy = -p[torch.arange(8), labels].log().mean()
        divergence = (p * (p / q).log()).sum(1).mean()
    torch.testing.assert_close(loss.detach(), cross_entropy + 2.5 * divergence, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(logits.detach(), cnn(images).detach(), atol=1e-5, rtol=1e-5)
    assert divergence > 1e-4


def test_gradients_flow_through_both_predictions(cnn, digits):
    images, labels = digits.images[:8], digits.labels[:8]

    settings = SaliencyGuided(0.5, weight=5.0)
    masked = mask_features(images, input_gradient(cnn, images, labels), settings, generator())

    def gradient(loss):
        return torch.autograd.grad(loss, cnn.conv1.weight, retain_graph=True)[0]

    def divergence(p, q):
        return (p * (p / q).log()).sum(1).mean()

    ours = gradient(saliency_guided_loss(cnn, images, labels, settings, generator())[0])
    p, q = cnn(images).softmax(1), cnn(masked).softmax(1)
    cross_entropy = torch.nn.functional.cross_entropy(cnn(images), labels)
    torch.testing.assert_close(ours, gradient(cross_entropy + 5 * divergence(p, q)), atol=1e-4, rtol=1e-3)
    for detached in ((p.detach(), q), (p, q.detach())):
        assert not torch.allclose(ours, gradient(cross_entropy + 5 * divergence(*detached)), atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"masked_fraction": 1.2}, "between 0 and 1, not 1.2"),
        ({"weight": -1}, "at least 0"),
        ({"ranking": "random"}, "'magnitude' or 'signed', not 'random'"),
    ],
)
def test_settings_out_of_range(arguments, message):
    with pytest.raises(SaqEvalError, match=message):
        SaliencyGuided(**arguments)
