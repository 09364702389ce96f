"""How many images pass at once: the bytes that one takes are measured, and a budget is divided by them."""

import pytest
import torch
from torch import nn

from saq_eval import load_model
from saq_eval.networks import memory
from saq_eval.networks.memory import at_once, bytes_per_image, images_at_once
from saq_eval.networks.modules import as_module

MIB = 2**20


def wide(channels):
    """Return a network whose convolution and sigmoid keep an image and `channels` feature maps for the way back."""
    return nn.Sequential(nn.Conv2d(3, channels, 1), nn.Sigmoid(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


def test_what_autograd_keeps_is_counted_once_and_the_weights_are_not():
    for channels, side in ((64, 64), (64, 128), (256, 64)):
        image = torch.rand(1, 3, side, side)
        maps = 4 * channels * side**2
        kept = 4 * image.numel() + maps
        assert bytes_per_image(wide(channels), image) == pytest.approx(kept + 3 * maps, rel=0.02)
    heavy = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 1000)).eval()  # 47 MiB of weights
    assert bytes_per_image(heavy, torch.rand(1, 3, 64, 64)) < 2 * MIB


def test_double_precision_takes_twice_as_much():
    image = torch.rand(1, 3, 64, 64)
    assert bytes_per_image(wide(64).double(), image.double()) == 2 * bytes_per_image(wide(64), image)


def test_a_network_without_gradients_is_estimated_from_the_image():
    image = torch.rand(1, 3, 64, 64)
    without = as_module(lambda images: torch.from_numpy(images.detach().numpy().mean(axis=(2, 3))))
    assert bytes_per_image(without, image) == 2048 * 64 * 64
    rounded = as_module(lambda images: images.round().mean(dim=(2, 3)))
    assert bytes_per_image(rounded, image) == 2048 * 64 * 64


def test_a_small_network_is_not_taken_for_free():
    image = torch.rand(1, 3, 64, 64)
    assert bytes_per_image(wide(1), image) == 32 * 4 * image.numel()  # copies that metrics make


def test_measuring_changes_nothing_and_works_without_gradients_switched_on():
    network, image = wide(64), torch.rand(1, 3, 32, 32)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.no_grad():
        measured = bytes_per_image(network, image)
    assert measured == bytes_per_image(network, image)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters()) and not image.requires_grad


@pytest.mark.parametrize("name", ["cnn-fp32", "cnn-w2a2"])
def test_networks_of_the_zoo_get_64_images_at_once(name):
    network = load_model("digits", name).network
    taken = bytes_per_image(network, torch.rand(1, 1, 28, 28))
    assert at_once(5 * taken, 64) == 64, "even by a method that takes five times the memory of a pass"


def test_at_once_is_at_least_one_and_at_most_what_is_asked(monkeypatch):
    monkeypatch.setattr(memory, "BUDGET", 100)
    assert [at_once(each, 64) for each in (0, 1, 10, 33, 100, 1000)] == [64, 64, 10, 3, 1, 1]
    assert images_at_once(wide(1), torch.rand(1, 3, 64, 64), 64) == 1
    monkeypatch.setattr(memory, "BUDGET", 10 * bytes_per_image(wide(64), torch.rand(1, 3, 64, 64)))
    assert images_at_once(wide(64), torch.rand(1, 3, 64, 64), 64) == 10
    assert images_at_once(wide(64), torch.rand(1, 3, 64, 64), 4) == 4
