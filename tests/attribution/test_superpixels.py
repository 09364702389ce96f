"""Superpixels cover an image, follow its objects, and are computed once."""

import numpy as np
import torch
from torch import nn

from saq_eval import load_dataset
from saq_eval.attribution import superpixels as module
from saq_eval.attribution.superpixels import Kept, superpixels


def test_superpixels_cover_the_image_and_follow_the_object(digits):
    masks = superpixels(digits.images[:5], 50)
    assert masks.shape == (5, 1, 28, 28) and masks.dtype == torch.int64
    within = []
    for mask, image in zip(masks, digits.images, strict=False):
        labels = mask.unique()
        assert labels.tolist() == list(range(len(labels))) and 15 <= len(labels) <= 90
        within.append(np.mean([image[mask == label].std(unbiased=False).item() for label in labels]))
    assert np.mean(within) < 0.6 * digits.images[:5].std()


def test_superpixels_are_about_as_many_as_asked_for_whatever_the_picture():
    pictures = {
        "digit": load_dataset("digits").images[3:4],
        "constant": torch.full((1, 1, 28, 28), 0.5),
        "noise": torch.rand(1, 1, 28, 28),
        "smooth": nn.functional.interpolate(torch.rand(1, 1, 5, 5), (30, 40), mode="bilinear"),
        "oblong": torch.rand(1, 1, 12, 36),
        "small": torch.rand(1, 1, 8, 8),
        "row": torch.rand(1, 1, 1, 9),
        "pixel": torch.rand(1, 1, 1, 1),
    }
    for name, grey in pictures.items():
        for segments in (1, 6, 12, 50):
            count = int(superpixels(grey, segments).max()) + 1
            possible = min(segments, grey[0, 0].numel())
            assert possible / 2 <= count <= max(2 * possible, 1), (name, segments, count)
            for channels in (3, 4):
                colour = superpixels(grey.expand(-1, channels, -1, -1).contiguous(), segments)
                assert torch.equal(colour, superpixels(grey, segments)), (name, segments, channels)


def test_superpixels_are_computed_once_for_an_image_and_a_number(monkeypatch):
    images, calls = torch.rand(3, 1, 12, 12), []
    first = superpixels(images, 9)
    monkeypatch.setattr(module, "slic", lambda *args, **kwargs: calls.append(1) or np.zeros((12, 12), int))
    assert torch.equal(superpixels(images.clone(), 9), first) and not calls
    first[:] = 7  # the caller's own
    assert superpixels(images, 9).min() == 0
    superpixels(images.transpose(2, 3).contiguous(), 9)
    superpixels(images, 8)
    assert len(calls) >= 6


def test_the_latest_used_arrays_are_kept_up_to_a_number_of_bytes():
    kept, computed = Kept(100), []

    def get(key):
        return kept.get(key, lambda: computed.append(key) or np.full(10, ord(key), dtype=np.int32))

    for key in (b"a", b"b", b"a", b"c", b"a", b"b"):  # c takes the place of b
        assert (get(key) == ord(key)).all()
    assert computed == [b"a", b"b", b"c", b"b"]
    large = Kept(8)
    assert large.get(b"x", lambda: np.ones(100)).sum() == 100  # returned, but not kept
    assert large.get(b"x", lambda: np.zeros(100)).sum() == 0
