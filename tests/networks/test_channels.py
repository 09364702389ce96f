"""Grey images for a network of colour images, and the reverse."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from saq_eval.attribution.explaining import explain
from saq_eval.networks.channels import Channels, channels_for
from saq_eval.networks.preprocessing import Preprocessing, with_preprocessing

GREY, COLOUR = torch.rand(2, 1, 6, 5), torch.rand(2, 3, 6, 5)


def reads(channels):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 5)).eval()


def test_a_grey_channel_is_repeated_and_a_colour_image_becomes_its_luma():
    assert torch.equal(Channels(1)(GREY), GREY.repeat(1, 3, 1, 1))
    picture = Image.fromarray((COLOUR[0].permute(1, 2, 0) * 255).round().byte().numpy())
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 255
    theirs = torch.from_numpy(np.array(picture.convert("L")))  # Pillow rounds to whole numbers
    assert (Channels(3)(pixels)[0, 0] * 255 - theirs).abs().max() <= 0.51
    assert not Channels(3).state_dict()


@pytest.mark.parametrize(("images", "channels"), [(GREY, 3), (COLOUR, 1)])
def test_the_gradient_is_that_of_the_image_as_it_is(images, channels):
    leaf = images.double().requires_grad_()
    assert torch.autograd.gradcheck(Channels(images.shape[1]).double(), (leaf,))
    layer = channels_for(reads(channels), images[:1])
    assert layer.weight.shape[:2] == (channels, images.shape[1])


def test_what_a_network_reads_is_tried():
    assert channels_for(reads(1), GREY[:1]) is None and channels_for(reads(3), COLOUR[:1]) is None
    assert channels_for(nn.Flatten(), GREY[:1]) is None  # which reads anything
    assert channels_for(lambda x: x.view(len(x), 30), COLOUR[:1]).weight.shape[0] == 1  # no layer tells
    for images, channels in ((torch.rand(1, 2, 6, 5), 3), (GREY[:1], 2), (torch.rand(1, 1, 9, 9), 3)):
        assert channels_for(reads(channels), images) is None  # refused where the network is checked


def test_a_mean_for_each_colour_does_not_turn_grey_images_into_colour_images_without_a_word():
    network = with_preprocessing(reads(3), Preprocessing((0.1, 0.2, 0.3), (0.5, 0.5, 0.5)))
    layer = channels_for(network, GREY[:1])
    with torch.no_grad():
        assert torch.equal(network(layer(GREY)), network(GREY.repeat(1, 3, 1, 1)))
    assert channels_for(network, COLOUR[:1]) is None


class Viewed(nn.Module):
    """Needs weights that lie contiguously."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)

    def forward(self, x):
        return self.conv(x).view(len(x), -1)


def test_a_network_that_reads_contiguous_tensors_only_is_tried_with_them():
    assert channels_for(Viewed(), GREY[:1]) is not None


@pytest.mark.parametrize(
    "method", ["saliency", "lrp", "lrp_epsilon", "deeplift", "guided_backprop", "gradcam", "occlusion"]
)
def test_methods_explain_the_image_as_it_is(method):
    network, targets = reads(3), torch.tensor([1, 2])
    adapted = nn.Sequential(Channels(1), network).eval()
    maps = explain(method, adapted, GREY, targets)
    repeated = explain(method, network, GREY.repeat(1, 3, 1, 1), targets)
    assert maps.shape == (2, 6, 5) and maps.abs().sum() > 0
    if method != "saliency":  # which takes magnitudes before it sums the channels
        torch.testing.assert_close(maps, repeated, atol=1e-5, rtol=1e-4)


def test_relevance_is_kept_by_the_luma():
    grey, layer, targets = reads(1), Channels(3), torch.tensor([1, 2])
    maps = explain("lrp", nn.Sequential(layer, grey).eval(), COLOUR, targets)
    torch.testing.assert_close(maps, explain("lrp", grey, layer(COLOUR), targets), atol=1e-5, rtol=1e-4)
