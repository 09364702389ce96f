"""Data sets of torch, torchvision and Hugging Face."""

import pickle

import cloudpickle
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset

from saq_eval import SaqEvalError
from saq_eval.data.adapters import hugging_face_images, torch_images
from saq_eval.data.geometry import Geometry
from saq_eval.data.lazy import check_readable, with_geometry
from tests.data.writing import noise, pets


class Items(Dataset):
    """Gives what it was made of, and counts how often."""

    def __init__(self, *items, **attributes):
        self.items, self.asked = items, []
        vars(self).update(attributes)

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        self.asked.append(index)
        item = self.items[index]
        return item() if callable(item) else item


def picture(seed, height=6, width=8, channels=3):
    return Image.fromarray(noise(height, width, channels, seed))


@pytest.mark.parametrize(
    "kind",
    [
        lambda pixels: Image.fromarray(pixels),
        lambda pixels: pixels,
        lambda pixels: torch.from_numpy(pixels).permute(2, 0, 1),
        lambda pixels: torch.from_numpy(pixels).permute(2, 0, 1) / 255,
        lambda pixels: pixels.transpose(2, 0, 1) / 255,
    ],
)
def test_an_item_may_be_a_picture_a_tensor_or_an_array(kind):
    pixels = [noise(6, 8, seed=seed) for seed in range(3)]
    images = torch_images(Items(*((kind(each), label) for each, label in zip(pixels, (1, 0, 1), strict=True))), "test")
    expected = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(images.read(range(3)), expected, rtol=1e-6, atol=0)
    assert images.image_shape == (3, 6, 8) and images.labels.tolist() == [1, 0, 1] and images.class_names == ("0", "1")
    assert (images.name, images.split, images.indices.tolist()) == ("items", "test", [0, 1, 2])


def test_labels_and_names_are_taken_from_the_data_set_if_it_has_them():
    items = Items(*((picture(n), n % 2) for n in range(50)), targets=[n % 2 for n in range(50)], classes=["cat", "dog"])
    images = torch_images(items, "train")
    assert images.class_names == ("cat", "dog") and max(items.asked) < 4  # a few are read, to see what they are
    images.read([7])
    assert items.asked[-1] == 7
    part = torch_images(Subset(items, [3, 8, 9]), "test")
    assert part.labels.tolist() == [1, 0, 1] and part.class_names == ("cat", "dog")
    assert torch.equal(part.read([1]), images.read([8]))


def test_labels_that_are_changed_on_the_way_are_read_from_the_items():
    items = Items((picture(0), 1), (picture(1), 0), targets=[0, 1], target_transform=lambda label: 1 - label)
    assert torch_images(items, "test").labels.tolist() == [1, 0]
    both = ConcatDataset([items, TensorDataset(torch.rand(2, 3, 6, 8), torch.tensor([1, 1]))])
    assert torch_images(both, "test").labels.tolist() == [1, 0, 1, 1]


def test_torchvisions_folder_gives_what_the_suites_own_gives(tmp_path):
    from torchvision.datasets import ImageFolder

    from saq_eval.data.folder import open_folder

    theirs, own = torch_images(ImageFolder(pets(tmp_path / "pets")), "test"), open_folder(tmp_path / "pets", "test")
    assert torch.equal(theirs.read(range(6)), own.read(range(6))) and torch.equal(theirs.labels, own.labels)
    assert theirs.class_names == own.class_names
    square = with_geometry(theirs, Geometry(5))
    assert torch.equal(square.read([4]), with_geometry(own, Geometry(5)).read([4]))
    assert pickle.loads(cloudpickle.dumps(square)).fingerprint == square.fingerprint != theirs.fingerprint


def raises():
    raise OSError("the disk is gone")


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (((picture(0), 0), raises), "Items: item 1 cannot be read: OSError: the disk is gone"),
        ((picture(0), picture(1)), "Items: item 0 cannot be read: an item is .image, label."),
        (((picture(0), 0), (picture(1), "dog")), "item 1 cannot be read: ValueError"),
        (((picture(0), 0), ("path.png", 1)), "item 1: an image is a PIL picture, a tensor or an array, not 'path.png'"),
        (((picture(0, channels=1), 0), (picture(1), 1)), "item 1: it has colours and the first is grey"),
        (((torch.zeros(1, 4, 4) - 1, 0),), r"pixels lie in \[0, 1\], not between -1 and -1"),
        (((torch.zeros(4), 0),), r"an image is \(h, w\)"),
        (((lambda: (torch.rand(1, 4, 4), 0)),), "item 0 differs each time it is read: leave out random transforms"),
        ((), "the data set is empty"),
    ],
)
def test_items_that_are_none_are_named_by_their_index(items, message):
    with pytest.raises(SaqEvalError, match=message):
        torch_images(Items(*items), "test").read(range(len(items)))


def test_an_item_is_checked_before_it_is_needed():
    items = Items(*((picture(n), 0) for n in range(6)), (picture(0, height=9), 0), targets=[0] * 7)
    images = torch_images(items, "test")
    check_readable(images, range(6))
    with pytest.raises(SaqEvalError, match="image 6 of items has 8x9 pixels in 3 channels and image 0 of items 8x6"):
        check_readable(images)


def test_a_label_that_is_not_the_listed_one_is_named():
    items = Items(*((picture(n), 0) for n in range(6)), targets=[0, 0, 0, 0, 0, 1])
    with pytest.raises(SaqEvalError, match="item 5 has the label 0, but the list of labels says 1"):
        torch_images(items, "test").read([5])


def test_what_is_read_in_order_only_is_refused():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(())

    with pytest.raises(SaqEvalError, match="Stream: a data set is read by index and has a length"):
        torch_images(Stream(), "test")


def test_hugging_face_columns_are_found_by_their_features():
    import datasets

    features = datasets.Features(
        {"photo": datasets.Image(), "kind": datasets.ClassLabel(names=["cat", "dog"]), "note": datasets.Value("string")}
    )
    pictures = [picture(seed) for seed in range(3)]
    rows = {"photo": pictures, "kind": [1, 0, 1], "note": ["", "", ""]}
    table = datasets.Dataset.from_dict(rows, features=features)
    images = hugging_face_images(table, "test")
    assert images.class_names == ("cat", "dog") and images.labels.tolist() == [1, 0, 1]
    expected = torch.from_numpy(np.stack([np.asarray(each) for each in pictures])).permute(0, 3, 1, 2) / 255
    assert torch.equal(images.read([2, 0]), expected[[2, 0]])
    with pytest.raises(SaqEvalError, match="one column of the feature ClassLabel, not 0, among photo .Image."):
        hugging_face_images(table.remove_columns("kind"), "test")
    with pytest.raises(SaqEvalError, match=r"give one of its splits, such as dataset\['train'\]"):
        hugging_face_images(datasets.DatasetDict({"train": table}), "test")
    with pytest.raises(SaqEvalError, match="load it without streaming"):
        hugging_face_images(table.to_iterable_dataset(), "test")


def test_two_columns_of_images_are_ambiguous():
    column = type("Image", (), {})
    features = {"left": column(), "right": column()}
    with pytest.raises(SaqEvalError, match="one column of the feature Image, not 2, among left .Image., right"):
        hugging_face_images(type("Table", (), {"features": features, "__len__": lambda self: 3})(), "test")
