"""Methods that hide parts of the image, against logit differences computed directly."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from saq_eval import SaqEvalError, explain, load_dataset
from saq_eval.attribution import METHODS
from saq_eval.attribution.superpixels import superpixels
from saq_eval.data.fills import fill_images
from tests.attribution.conftest import cheap


def logits_of(network, images, targets):
    if any(tensor.dtype == torch.float32 for tensor in network.state_dict().values()):
        network = copy.deepcopy(network).double()
    with torch.no_grad():
        return network(images.double()).gather(1, targets[:, None])[:, 0]


def test_occlusion_is_the_mean_logit_drop_of_the_windows_over_a_pixel(network, digits):
    images, targets = digits.images[:2].double(), digits.labels[:2]
    network = copy.deepcopy(network).double()
    for spec, size, step, fill in (("occlusion", 7, 3, "black"), ("occlusion:window=6,stride=4,fill=blur", 6, 4, "blur")):  # fmt: skip  # noqa: E501
        before = logits_of(network, images, targets)
        starts = range(0, 28 - size + step, step)
        areas = [(slice(top, top + size), slice(left, left + size)) for top in starts for left in starts]
        occluded = images.repeat(len(areas), 1, 1, 1)
        for place, area in enumerate(areas):
            occluded[2 * place : 2 * place + 2, :, *area] = fill_images(images, fill)[:, :, *area]
        drops = before - logits_of(network, occluded, targets.repeat(len(areas))).reshape(-1, 2)
        total, windows = torch.zeros(2, 28, 28, dtype=torch.float64), torch.zeros(28, 28)
        for area, drop in zip(areas, drops, strict=True):
            total[:, *area] += drop[:, None, None]
            windows[area] += 1
        expected = (total / windows).float()
        assert (windows > 0).all()
        torch.testing.assert_close(explain(spec, network, images, targets), expected, atol=1e-6, rtol=1e-5)


def test_feature_ablation_is_each_superpixels_logit_drop(network, digits):
    images, targets = digits.images[:3].double(), digits.labels[:3]
    network = copy.deepcopy(network).double()
    masks = superpixels(images, 15)
    expected = torch.zeros(3, 28, 28, dtype=torch.float64)
    before = logits_of(network, images, targets)
    for place in range(3):
        one = slice(place, place + 1)
        for segment in masks[place].unique():
            area = masks[place, 0] == segment
            ablated = torch.where(area, fill_images(images[one], "mean"), images[one])
            expected[place, area] = before[place] - logits_of(network, ablated, targets[one])[0]
    ours = explain("feature_ablation:segments=15,fill=mean", network, images, targets)
    torch.testing.assert_close(ours, expected.float(), atol=1e-6, rtol=1e-5)


def test_windows_that_leave_gaps_or_the_image_are_refused(small, batch):
    with pytest.raises(SaqEvalError, match="occlusion: stride=5 is larger than window=3: pixels between windows"):
        explain("occlusion:window=3,stride=5", small, *batch)
    with pytest.raises(SaqEvalError, match="occlusion: window=29 does not fit into an image of 28x28"):
        explain("occlusion:window=29", small, *batch)


def additive():
    """A linear network: a superpixel's Shapley value is the sum of its pixels' weights times values."""
    torch.manual_seed(4)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 4)).eval()


def contributions(network, images, targets, segments):
    weights = network[1].weight.detach()[targets].reshape(-1, 28, 28)
    masks = superpixels(images, segments)[:, 0]
    values = torch.zeros_like(weights)
    for place, mask in enumerate(masks):
        for label in mask.unique():
            values[place][mask == label] = (weights[place] * images[place, 0])[mask == label].sum()
    return values


def test_kernel_shap_of_a_linear_network(digits):
    network, images, targets = additive(), digits.images[:3], torch.tensor([0, 1, 3])
    ours = explain("kernel_shap:n_samples=150,segments=12", network, images, targets)
    torch.testing.assert_close(ours, contributions(network, images, targets, 12), atol=2e-3, rtol=1e-2)


def test_lime_of_a_linear_network(digits):
    network, images, targets = additive(), digits.images[:3], torch.tensor([0, 1, 3])
    ours = explain("lime:n_samples=400,segments=12,ridge=0.001", network, images, targets)
    torch.testing.assert_close(ours, contributions(network, images, targets, 12), atol=5e-3, rtol=2e-2)


def test_rise_finds_what_a_linear_network_reads(digits):
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 2, bias=False)).eval()
    weights = torch.zeros(2, 28, 28)
    weights[0, 4:10, 16:24] = 1.0
    with torch.no_grad():
        network[1].weight.copy_(weights.flatten(1))
    images = torch.ones(1, 1, 28, 28)
    heat = explain("rise:n_masks=1500", network, images, torch.tensor([0]))[0]
    inside = weights[0].bool()
    assert heat[inside].mean() > 8 * heat[~inside].abs().mean()
    centre = np.unravel_index(heat.argmax(), (28, 28))
    assert inside[centre]
    assert not explain("rise:n_masks=50", network, images, torch.tensor([1])).any()  # a class that reads nothing


PERTURBING = [name for name, method in METHODS.items() if method.family == "perturbation"]


def grey_and_colour(channels):
    """The same picture in some channels, and a linear network that sees the same in it: (network, images)."""
    generator = torch.Generator().manual_seed(8)
    weight = torch.randn(3, 784, generator=generator)
    network = nn.Sequential(nn.Flatten(), nn.Linear(784 * channels, 3, bias=False)).eval()
    with torch.no_grad():
        network[1].weight.copy_(torch.cat([weight] * channels, dim=1) / channels)
    images = load_dataset("digits").images[:2].expand(-1, channels, -1, -1).contiguous()
    return network, images


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("name", PERTURBING)
def test_maps_do_not_depend_on_the_number_of_channels(name, channels):
    targets = torch.tensor([0, 2])
    grey, colour = (explain(cheap(name), *grey_and_colour(number), targets) for number in (1, channels))
    assert grey.abs().amax(dim=(1, 2)).min() > 0
    torch.testing.assert_close(colour, grey, atol=1e-4 * grey.abs().max().item(), rtol=1e-3)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(
    "spec",
    [
        *("occlusion:window=28,stride=1", "feature_ablation:segments=1", "kernel_shap:segments=1,n_samples=10"),
        *("lime:segments=1,n_samples=10", "feature_ablation:segments=1,fill=mean"),
    ],
)
def test_hiding_the_whole_image_is_the_whole_drop(spec, channels):
    network, images = grey_and_colour(channels)
    targets = torch.tensor([0, 2])
    fill = fill_images(images, "mean" if "mean" in spec else "black")
    drop = logits_of(network, images, targets) - logits_of(network, fill, targets)
    expected = drop.float()[:, None, None].expand(-1, 28, 28)
    assert drop.abs().min() > 0.1
    torch.testing.assert_close(explain(spec, network, images, targets), expected, atol=1e-4, rtol=1e-4)


def test_rise_is_the_drop_of_a_pixel_that_alone_counts():
    """The slope of the logit over visibility is what hiding the pixel takes, here where all masks show or hide all of it."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(3, 1, bias=False)).eval()
    images = torch.rand(1, 3, 1, 1)
    drop = network(images).item()
    heat = explain("rise:n_masks=4000,cells=1", network, images, torch.tensor([0]))
    assert heat.item() == pytest.approx(drop, rel=0.1)


@pytest.mark.parametrize("name", PERTURBING)
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (8, 8)])
def test_small_images(name, shape):
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * shape[0] * shape[1], 2)).eval()
    spec = "occlusion:window=1,stride=1" if name == "occlusion" else cheap(name)
    maps = explain(spec, network, torch.rand(2, 3, *shape), torch.tensor([0, 1]))
    assert maps.shape == (2, *shape) and torch.isfinite(maps).all()


@pytest.mark.parametrize(
    "spec, pictures",
    [
        ("feature_ablation:segments=20", 31),
        ("kernel_shap:n_samples=30", 30),
        ("lime:n_samples=30", 30),
        ("rise:n_masks=30", 30),
    ],
)
def test_the_pictures_of_all_images_fill_the_batches(spec, pictures, small, digits):
    sizes = []

    def network(passed):
        sizes.append(len(passed))
        return small(passed)

    explain(spec, network, digits.images[:5], digits.labels[:5], batch_size=16)
    sizes = sizes[sizes.index(16) :]  # before, a picture or two are passed to look at the network
    assert set(sizes[:-1]) == {16} and sizes[-1] <= 16
    assert sum(sizes) <= 5 * pictures


def test_a_superpixel_of_black_is_not_passed_again(small):
    images, sizes = torch.zeros(2, 1, 28, 28), []
    images[:, :, 12:16, 12:16] = 0.7

    def network(passed):
        sizes.append(len(passed))
        return small(passed)

    maps = explain("feature_ablation", network, images, torch.tensor([0, 1]))
    parts = superpixels(images, 50)
    lit = [set(part[image > 0].tolist()) for part, image in zip(parts, images, strict=True)]
    assert sizes[-1] == 2 + len(lit[0]) + len(lit[1])  # each image, and each with a superpixel of the square hidden
    for part, some, saliency in zip(parts[:, 0], lit, maps, strict=True):
        assert len(some) < len(part.unique()) and not saliency[~torch.isin(part, torch.tensor(sorted(some)))].any()


def test_a_logit_that_never_changes_gives_maps_of_exact_zeros():
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 2)).eval()
    nn.init.zeros_(network[1].weight)
    for name in ("occlusion", "feature_ablation", "rise"):
        assert not explain(cheap(name), network, torch.rand(3, 1, 28, 28), torch.tensor([0, 1, 1])).any(), name
