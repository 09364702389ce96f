"""Resizing and cutting: as torchvision does it."""

import pytest
import torch
from PIL import Image

from saq_eval import SaqEvalError
from saq_eval.data.geometry import Geometry, filled
from tests.data.writing import noise


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("shape", [(37, 50), (51, 23), (40, 40)])
@pytest.mark.parametrize(("size", "crop"), [(20, 16), (64, None), (23, 17)])
def test_pictures_and_tensors_are_treated_as_by_torchvision(interpolation, shape, size, crop):
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize, ToTensor

    theirs = Compose([Resize(size, InterpolationMode(interpolation)), CenterCrop(crop or size)])
    ours = Geometry(size, crop, interpolation)
    picture = Image.fromarray(noise(*shape))
    assert ours.of_picture(picture).tobytes() == theirs(picture).tobytes()
    tensor = ToTensor()(picture)
    torch.testing.assert_close(ours.of_images(tensor.unsqueeze(0))[0], theirs(tensor).clamp(0, 1))


def test_a_crop_alone_does_not_resize():
    pixels = torch.rand(2, 3, 6, 9)
    assert torch.equal(Geometry(crop=4).of_images(pixels), pixels[..., 1:5, 2:6])
    with pytest.raises(SaqEvalError, match="a crop of 7 pixels does not fit into 9x6: give --size"):
        Geometry(crop=7).of_images(pixels)


def test_masks_and_boxes_follow_the_picture():
    geometry = Geometry(size=8, crop=6)
    box = (8.0, 4.0, 20.0, 12.0)
    mask = filled([box], 16, 32)
    assert mask.sum() == 12 * 8
    moved = geometry.of_boxes([box], 16, 32)
    assert moved == [(8 / 2 - 5, 4 / 2 - 1, 20 / 2 - 5, 12 / 2 - 1)]
    small = geometry.of_masks(mask.unsqueeze(0))[0]
    assert torch.equal(small, filled(moved, 6, 6)) and small.sum() == 5 * 4


def test_both_sides_may_become_the_size_and_masks_and_boxes_follow():
    from torchvision.transforms import CenterCrop, Compose, Resize

    geometry = Geometry(20, 16, resized="both")
    picture = Image.fromarray(noise(37, 50))
    assert geometry.of_picture(picture).tobytes() == Compose([Resize((20, 20)), CenterCrop(16)])(picture).tobytes()
    box = (8.0, 4.0, 24.0, 12.0)
    squeezed = Geometry(size=16, crop=12, resized="both")
    moved = squeezed.of_boxes([box], 16, 32)
    assert moved == [(8 / 2 - 2, 4 - 2, 24 / 2 - 2, 12 - 2)]
    mask = filled([box], 16, 32)
    assert torch.equal(squeezed.of_masks(mask.unsqueeze(0))[0], filled(moved, 12, 12))
    assert squeezed.of_images(mask[None].float()).shape == (1, 1, 12, 12)


def test_boxes_are_united_and_cut_at_the_edge():
    mask = filled([(-3, -3, 1, 1), (0, 0, 2, 1), (1.6, 1.6, 9, 9)], 3, 3)
    assert mask.int().tolist() == [[[1, 1, 0], [0, 0, 0], [0, 0, 1]]]


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        ({}, "has a size, a crop or both"),
        ({"size": 0}, "size is a whole number of pixels from 1 to 4096, not 0"),
        ({"crop": 2.5}, "crop is a whole number of pixels from 1 to 4096, not 2.5"),
        ({"size": 8, "crop": 9}, "crop 9 does not fit into size 8"),
        ({"size": 8, "interpolation": "nearest"}, "unknown interpolation 'nearest'"),
        (
            {"size": 8, "resized": "longer"},
            "unknown resized side 'longer'.* valid: shorter, both",
        ),
    ],
)
def test_what_is_no_geometry_is_named(sides, message):
    with pytest.raises(SaqEvalError, match=message):
        Geometry(**sides)
