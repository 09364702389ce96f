"""Arrays of images and labels."""

import numpy as np
import pytest
import torch

from saq_eval import SaqEvalError
from saq_eval.data.arrays import ArraySource, array_images, as_labels
from saq_eval.data.geometry import Geometry

BYTES = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
LABELS = [2, 0, 1, 0]


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize("layout", ["last", "first", "grey", "grey last"])
@pytest.mark.parametrize("floats", [False, True])
def test_every_layout_and_type_gives_the_same_pixels(kind, layout, floats):
    expected = torch.from_numpy(BYTES).permute(0, 3, 1, 2) / 255
    array = BYTES
    if layout == "first":
        array = BYTES.transpose(0, 3, 1, 2)
    elif layout.startswith("grey"):
        expected, array = expected[:, :1], BYTES[..., 0] if layout == "grey" else BYTES[..., :1]
    if floats:
        array = array / 255  # float64
    before = array.copy()
    images = array_images("mine", "test", kind(array), LABELS)
    read = images.read([3, 1])
    assert read.dtype == torch.float32 and read.is_contiguous() and images.image_shape == read.shape[1:]
    torch.testing.assert_close(read, expected[[3, 1]], rtol=1e-6, atol=0)
    assert images.class_names == ("0", "1", "2") and images.labels.tolist() == LABELS
    read.zero_()
    assert np.array_equal(array, before)
    torch.testing.assert_close(next(images.batches(4)), expected, rtol=1e-6, atol=0)


def test_the_array_is_not_copied():
    source = array_images("mine", "test", BYTES, LABELS).source
    assert source.pixels is BYTES


def test_gradients_stay_outside():
    images = array_images("mine", "test", torch.rand(4, 1, 5, 6, requires_grad=True), LABELS)
    assert not images.read([0]).requires_grad


def test_a_geometry_resizes():
    images = list(ArraySource(BYTES).read([1, 2], Geometry(3)))
    assert [tuple(image.shape) for image in images] == [(3, 3, 3)] * 2


def test_the_fingerprint_is_that_of_the_content():
    one, two = (array_images("mine", "test", pixels, LABELS) for pixels in (BYTES, BYTES.copy()))
    assert one.fingerprint == two.fingerprint
    changed = BYTES.copy()
    changed[3, 4, 5, 2] ^= 1
    assert array_images("mine", "test", changed, LABELS).fingerprint != one.fingerprint
    assert array_images("mine", "test", BYTES, [2, 0, 1, 1]).fingerprint != one.fingerprint


@pytest.mark.parametrize(
    ("pixels", "labels", "message"),
    [
        (np.zeros((4, 5)), LABELS, r"\(n, h, w\), .* not \(4, 5\)"),
        (np.zeros((4, 2, 5, 6), np.uint8), LABELS, r"with 1 or 3 channels, not \(4, 2, 5, 6\)"),
        (np.zeros((4, 5, 6), np.int64), LABELS, "uint8, or float in .0, 1., not int64"),
        (np.full((4, 5, 6), 2.0), LABELS, r"pixels lie in \[0, 1\], not between 2 and 2; divide by 255"),
        (np.full((4, 5, 6), np.nan), LABELS, "not between nan and nan"),
        (BYTES, [0, 1], r"there are 4 images and labels of the shape \(2,\)"),
        (BYTES, [0.0, 1.0, 1.0, 0.0], "labels are whole numbers, the positions of classes, not torch.float64"),
        (BYTES, ["cat", "dog", "cat", "dog"], "labels are whole numbers"),
        (BYTES, [0, -1, 1, 0], "not between -1 and 1"),
        ([1, 2, 3, 4], LABELS, "images are an array or a tensor, not"),
    ],
)
def test_what_is_no_array_of_images_is_named(pixels, labels, message):
    with pytest.raises(SaqEvalError, match=message):
        array_images("mine", "test", pixels, labels)


def test_labels_become_int64():
    assert as_labels(np.array([1, 2], np.uint8)).dtype == as_labels([1, 2]).dtype == torch.int64
