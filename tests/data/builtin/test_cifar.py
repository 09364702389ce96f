"""CIFAR in torchvision's layout, from files that are made here."""

import hashlib
import pickle

import numpy as np
import pytest
import torch
from torchvision import datasets

from saq_eval import SaqEvalError, load_dataset


@pytest.fixture(params=["cifar10", "cifar100"])
def files(request, tmp_path, monkeypatch):
    """Write four test images and eight training images, and let torchvision take them for the original files."""
    source = getattr(datasets, request.param.upper())
    folder = tmp_path / source.base_folder
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (12, 3072), dtype=np.uint8)
    labels = [n % 10 for n in range(12)]

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    key = "labels" if request.param == "cifar10" else "fine_labels"
    train = {"data": pixels[4:], key: labels[4:]}
    monkeypatch.setattr(source, "train_list", [write("train", train)])
    monkeypatch.setattr(source, "test_list", [write("test", {"data": pixels[:4], key: labels[:4]})])
    names = [f"class {n}" for n in range(10)]
    name, md5 = write("names", {source.meta["key"]: names})
    monkeypatch.setattr(source, "meta", {**source.meta, "filename": name, "md5": md5})
    return request.param, tmp_path, pixels.reshape(12, 3, 32, 32)


def test_pixels_labels_and_names(files):
    name, root, pixels = files
    test, train = (load_dataset(name, split, root) for split in ("test", "train"))
    assert test.image_shape == (3, 32, 32) and (len(test), len(train)) == (4, 8)
    assert torch.equal(train.read([1]), torch.from_numpy(pixels[5:6]) / 255)
    assert test.labels.tolist() == [0, 1, 2, 3] and test.class_names[3] == "class 3"
    assert test.source.pixels.dtype == np.uint8


def test_without_files_and_network_the_message_helps(tmp_path, monkeypatch):
    import urllib.request

    def unreachable(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    with pytest.raises(SaqEvalError, match=r"cifar10: could not .* looked for data_batch_1.* in .*cifar-10-batches-py"):
        load_dataset("cifar10", "test", tmp_path)
    assert not list(tmp_path.iterdir())
