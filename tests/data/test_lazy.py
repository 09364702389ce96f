"""Images that are read item by item behave as those in memory."""

import numpy as np
import pytest
import torch

from saq_eval import SaqEvalError
from saq_eval.data import Images
from saq_eval.data.geometry import Geometry
from saq_eval.data.lazy import HeldEvidence, HeldSource, LazyImages, check_readable, in_threads, lazily, with_geometry
from tests.data.made import made


class Squares(Images):
    """A user's own images: a grey square for each label."""

    def __init__(self, count=8):
        self.name, self.split, self.class_names = "squares", "test", ("dark", "light")
        self.labels = torch.arange(count) % 2
        self.indices = torch.arange(count) + 100
        self.asked = 0

    @property
    def image_shape(self):
        return 1, 4, 6

    def read(self, positions):
        positions = torch.as_tensor(positions)
        self.asked += len(positions)
        return (positions.float() / 10).reshape(-1, 1, 1, 1).expand(-1, *self.image_shape)

    @property
    def fingerprint(self):
        return f"squares {len(self)}"


def test_own_images_need_but_a_shape_pixels_and_a_fingerprint():
    images = Squares()
    sample = images.sample(4, seed=0)
    assert images.asked == 4 and torch.equal(sample.images, images.read(sample.positions))
    assert torch.equal(sample.indices, sample.positions + 100)
    chosen = images.subset([7, 2]).with_classes(("Light", "Dark"))
    assert chosen.labels.tolist() == [0, 1] and chosen.names_of([0, 1]) == ["107", "102"]
    assert [len(batch) for batch in images.batches(3)] == [3, 3, 2]
    assert torch.equal(next(images.batches(2, [5, 1]))[:, 0, 0, 0], torch.tensor([0.5, 0.1]))
    assert images.read_evidence([0]) is None and repr(images) == "Squares(squares test: 8 images, 2 classes)"
    with pytest.raises(SaqEvalError, match="a batch has at least one image, not 0"):
        images.batches(0)
    check_readable(images)


def test_a_subset_of_a_subset_reads_the_same_images():
    images = lazily(Squares())
    twice = images.subset([6, 4, 2]).subset(np.array([2, 0]))
    assert torch.equal(twice.read([0, 1]), images.read([2, 6])) and twice.indices.tolist() == [102, 106]
    assert twice.fingerprint == images.subset([2, 6]).fingerprint != images.subset([6, 2]).fingerprint
    assert twice.read([]).shape == (0, 1, 4, 6)


def test_a_geometry_is_applied_when_images_are_read():
    images = made()
    square = with_geometry(images, Geometry(size=8, crop=6))
    assert square.image_shape == (1, 6, 6) and len(square) == 3
    assert torch.equal(square.read([2, 0]), Geometry(8, 6).of_images(images.images[[2, 0]]))
    assert torch.equal(square.in_memory().images, square.read(range(3)))
    with pytest.raises(SaqEvalError, match="mine has a geometry already"):
        with_geometry(square, Geometry(8))


def test_what_holds_images_is_a_source():
    images = made(evidence=torch.ones(3, 1, 4, 5, dtype=torch.bool))
    source, evidence = HeldSource(images), HeldEvidence(images)
    assert source.shape(1) == source.check(1, None) == (1, 4, 5) and source.name(0) is None
    assert evidence.read(1, (1, 4, 5), None).shape == (1, 4, 5)
    assert source.digest([0]) != source.digest([1]) and evidence.digest([0]) == evidence.digest([1])
    assert HeldEvidence(made()).read(0, (1, 4, 5), None) is None


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        (torch.empty(0, dtype=torch.int64), ("a",), "there are no images"),
        (torch.tensor([0, 2]), ("a", "b"), "labels lie between 0 and 1"),
    ],
)
def test_labels_are_checked(labels, names, message):
    with pytest.raises(SaqEvalError, match=f"^mine test set: {message}"):
        LazyImages("mine", "test", labels, names, torch.arange(len(labels)), HeldSource(made()))


@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_in_order_whatever_the_threads(threads):
    assert list(in_threads(threads, lambda place: place * 2, [5, 1, 3])) == [10, 2, 6]
