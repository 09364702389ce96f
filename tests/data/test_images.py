import numpy as np
import pytest
import torch

from saq_eval import SaqEvalError
from saq_eval.data.images import grey_dataset
from saq_eval.data.masks import foreground_mask
from tests.data.made import made


def test_an_item_carries_image_label_class_name_and_mask(digits):
    item = digits[3]
    assert torch.equal(item.image, digits.images[3])
    assert item.class_name == str(item.label)
    assert item.mask.shape == (1, 28, 28) and item.mask.dtype == torch.bool
    assert torch.equal(digits.masks()[3], item.mask)


def test_the_shape_of_images(digits):
    assert digits.image_shape == (1, 28, 28)


@pytest.mark.parametrize("count", [1, 7, 64, 313, 360])
@pytest.mark.parametrize("seed", [3, 22])
def test_a_sample_is_stratified_and_reproducible(digits, count, seed):
    sample = digits.sample(count, seed)
    assert len(sample) == len(set(sample.indices.tolist())) == count
    share = torch.bincount(digits.labels) * count / len(digits)
    assert (torch.bincount(sample.labels, minlength=10) - share).abs().max() < 1
    assert torch.equal(sample.images, digits.images[sample.indices])
    assert torch.equal(sample.indices, digits.sample(count, seed).indices)


def test_a_sample_of_unbalanced_classes(digits):
    sizes = {0: 30, 1: 17, 2: 7, 3: 3, 4: 1}
    chosen = np.concatenate([np.flatnonzero(digits.labels.numpy() == label)[:size] for label, size in sizes.items()])
    unbalanced = digits.subset(chosen)
    for count in range(1, 59):
        counts = torch.bincount(unbalanced.sample(count, seed=count).labels, minlength=5)
        assert counts.sum() == count
        assert all(abs(counts[label] - size * count / 58) < 1 for label, size in sizes.items())


def test_samples_differ_by_seed(digits):
    assert not torch.equal(digits.sample(64, seed=0).indices, digits.sample(64, seed=1).indices)


@pytest.mark.parametrize("count", [-1, 0, 361])
def test_sample_size_out_of_range(digits, count):
    with pytest.raises(SaqEvalError, match=f"between 1 and 360.*not {count}"):
        digits.sample(count, seed=0)


def test_where_the_evidence_is_not_known_the_foreground_stands_in(digits):
    assert digits.evidence is None
    assert torch.equal(digits.subset(np.array([5])).masks()[0], foreground_mask(digits.images[5]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": 255 * torch.ones(3, 1, 4, 5)}, r"pixels lie in \[0, 1\], not between 255 and 255; divide by 255"),
        ({"images": torch.full((3, 1, 4, 5), -0.1)}, r"pixels lie in \[0, 1\], not between -0.1 and -0.1$"),
        ({"images": torch.full((3, 1, 4, 5), float("nan"))}, r"pixels lie in \[0, 1\], not between nan and nan"),
        ({"images": torch.zeros(3, 4, 5)}, r"\(n, channels, height, width\), not torch.float32 \(3, 4, 5\)"),
        (
            {"images": torch.zeros(3, 1, 4, 5, dtype=torch.uint8)},
            r"a float32 tensor .*, not torch.uint8 \(3, 1, 4, 5\)",
        ),
        ({"images": np.zeros((3, 1, 4, 5), np.float32)}, "a float32 tensor .*, not "),
        ({"images": torch.zeros(0, 1, 4, 5)}, r"there are no images: their shape is \(0, 1, 4, 5\)"),
        ({"labels": torch.tensor([1, 2, 2])}, "labels lie between 0 and 1, the last of 2 classes, not between 1 and 2"),
        ({"labels": torch.tensor([0, -1, 1])}, "not between -1 and 1"),
        ({"labels": torch.tensor([0.0, 1.0, 1.0])}, r"labels are an int64 tensor \(3,\), .* not torch.float32 \(3,\)"),
        ({"labels": torch.tensor([0, 1])}, r"labels are an int64 tensor \(3,\), one per image, not torch.int64 \(2,\)"),
        ({"labels": [0, 1, 1]}, r"labels are an int64 tensor \(3,\), one per image, not "),
        ({"indices": torch.tensor([4, 7, 4])}, "two images have the same index"),
        ({"class_names": "ab"}, "class_names are texts, not "),
        (
            {"evidence": torch.zeros(3, 4, 5, dtype=torch.bool)},
            r"evidence is a bool tensor \(3, 1, 4, 5\), not torch.bool",
        ),
        ({"evidence": torch.zeros(3, 1, 4, 5)}, r"evidence is a bool tensor \(3, 1, 4, 5\), not torch.float32"),
        ({"split": "validation"}, "the split is 'train' or 'test', not 'validation'"),
    ],
)
def test_what_is_no_dataset_is_named(changes, message):
    with pytest.raises(SaqEvalError, match=f"^mine {changes.get('split', 'test')} set: .*{message}"):
        made(**changes)


def test_a_dataset_that_is_one_tells_itself_in_short():
    assert repr(made()) == "Dataset(mine test: 3 images 1x4x5, 2 classes)"
    assert len(made().subset(np.array([2, 0]))) == 2


def test_grey_bytes_become_pixels():
    images = torch.tensor([[[0, 51], [102, 255]]], dtype=torch.uint8)
    dataset = grey_dataset("mine", "train", images, torch.tensor([1], dtype=torch.int32), ("cat", "dog"))
    assert dataset.images.shape == (1, 1, 2, 2) and dataset.images.flatten().tolist() == pytest.approx([0, 0.2, 0.4, 1])
    assert (dataset.labels.tolist(), dataset.labels.dtype, dataset.indices.tolist()) == ([1], torch.int64, [0])


def test_a_samples_places_and_identities_are_two_things(digits):
    part = digits.subset(np.arange(100, 200))
    sample = part.sample(8, seed=0)
    assert torch.equal(sample.indices, sample.positions + 100)
    assert torch.equal(sample.images, part.images[sample.positions])
    assert sample.subset([3, 1]).positions.tolist() == sample.positions[[3, 1]].tolist()
    assert made().positions.tolist() == [0, 1, 2]
    with pytest.raises(
        SaqEvalError, match=r"positions are an int64 tensor \(3,\), one per image, not torch.int64 \(2,\)"
    ):
        made(positions=torch.tensor([0, 1]))


def test_images_in_memory_are_read_as_they_are(digits):
    assert torch.equal(digits.read([4, 2]), digits.images[[4, 2]]) and digits.read_evidence([0]) is None
    assert torch.equal(torch.cat(list(digits.batches(100))), digits.images)
    assert digits.names_of([3]) == ["3"] and digits.in_memory() is digits
    evidence = torch.ones(3, 1, 4, 5, dtype=torch.bool)
    assert torch.equal(made(evidence=evidence).read_evidence([1, 1]), evidence[:2])


def test_classes_of_images_in_memory_are_matched_by_name():
    renamed = made().with_classes(["dog", "fish", "CAT"])
    assert renamed.labels.tolist() == [2, 0, 0] and renamed.class_names == ("dog", "fish", "CAT")


@pytest.mark.parametrize(
    "change",
    [
        {"images": torch.zeros(3, 1, 4, 5)},
        {"labels": torch.tensor([0, 1, 0])},
        {"class_names": ("cat", "fish")},
        {"evidence": torch.ones(3, 1, 4, 5, dtype=torch.bool)},
    ],
)
def test_the_fingerprint_is_that_of_the_content(change):
    assert made().fingerprint == made().fingerprint != made(**change).fingerprint
