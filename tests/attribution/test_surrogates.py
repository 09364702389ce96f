"""The surrogates' draws, weights and regressions against Captum, image by image."""

import pytest
import torch
from captum._utils.models.linear_model import SkLearnRidge
from captum.attr import KernelShap, Lime

from saq_eval import explain, load_model
from saq_eval.attribution.superpixels import superpixels
from saq_eval.attribution.surrogates import cosines, fair_coalitions, ridge_weights, shapley_coalitions, shapley_values
from saq_eval.core.randomness import derived_seed, global_seed
from saq_eval.data.fills import fill_images


def captums(method, name, images, targets, segments, n_samples, fill):
    """Captum's map of each image under the image's own seed: float32 (n, h, w)."""
    maps = []
    for index, (image, target) in enumerate(zip(images.split(1), targets.split(1), strict=True)):
        with global_seed(derived_seed(3, name, index)), torch.no_grad():
            maps.append(
                method.attribute(
                    image,
                    baselines=fill_images(image, fill),
                    feature_mask=superpixels(image, segments),
                    target=target,
                    n_samples=n_samples,
                    perturbations_per_eval=64,
                )
            )
    return torch.cat(maps)[:, 0]


@pytest.mark.parametrize("scheme", ["fp32", "w2a2"])
@pytest.mark.parametrize("segments, n_samples, fill", [(50, 80, "black"), (6, 40, "blur"), (4, 25, "mean")])
def test_maps_are_captums(scheme, segments, n_samples, fill, digits):
    network, images, targets = load_model("digits", f"cnn-{scheme}").network, digits.images[:3], digits.labels[:3]
    settings = f"n_samples={n_samples},segments={segments},fill={fill}"
    for name, method in (
        ("kernel_shap", KernelShap(network)),
        ("lime", Lime(network, interpretable_model=SkLearnRidge(alpha=1.0))),
    ):
        ours = explain(f"{name}:{settings}", network, images, targets, seed=3)
        expected = captums(method, name, images, targets, segments, n_samples, fill)
        torch.testing.assert_close(ours, expected, atol=1e-5 * expected.abs().max().item(), rtol=1e-5)


@pytest.mark.parametrize("superpixels", [2, 3, 15, 16, 17, 50])
def test_draws_are_captums(superpixels):
    """A network that adds up the superpixels' numbers as powers of two tells which were shown."""
    image = torch.ones(1, 1, 1, superpixels)
    for method, draw in ((KernelShap, shapley_coalitions), (Lime, fair_coalitions)):
        shown = []

        def network(pictures, shown=shown):
            shown.append(pictures.flatten(1).bool())
            return pictures.flatten(1).sum(dim=1, keepdim=True)

        with global_seed(11):
            method(network).attribute(
                image, feature_mask=torch.arange(superpixels)[None, None, None], target=0, n_samples=30
            )
        assert torch.equal(draw(11, 30, superpixels), torch.cat(shown))


def test_few_samples():
    assert shapley_coalitions(0, 1, 4).tolist() == [[True] * 4]
    assert shapley_coalitions(0, 2, 4).tolist() == [[True] * 4, [False] * 4]
    assert shapley_coalitions(0, 40, 4)[2:].sum(dim=1).unique().tolist() == [1, 2, 3]
    assert fair_coalitions(0, 1, 4).shape == (1, 4)


def test_regressions_find_a_linear_surrogate():
    weights = torch.tensor([1.5, -2.0, 0.25, 3.0])
    coalitions = shapley_coalitions(1, 60, 4)
    logits = coalitions.double() @ weights.double() + 7
    similarities = torch.ones(60)
    torch.testing.assert_close(shapley_values(coalitions, logits, similarities), weights, atol=2e-3, rtol=0)
    torch.testing.assert_close(ridge_weights(1e-6, coalitions, logits, similarities), weights, atol=1e-4, rtol=0)


def test_cosines_are_those_of_the_pictures():
    images, filled = torch.rand(3, 2, 4, 4), torch.rand(3, 2, 4, 4)
    images[2] = 0  # no direction: a cosine of 0
    parts = torch.randint(5, (3, 16))
    coalitions = torch.rand(3, 7, 5) < 0.5
    shown = coalitions.gather(2, parts[:, None].expand(-1, 7, -1)).reshape(3, 7, 1, 4, 4)
    pictures = torch.where(shown, images[:, None], filled[:, None]).flatten(2)
    expected = torch.cosine_similarity(images.flatten(1)[:, None], pictures, dim=2)
    torch.testing.assert_close(cosines(images, filled, parts, coalitions).float(), expected, atol=1e-6, rtol=0)
    assert not expected[2].any()
