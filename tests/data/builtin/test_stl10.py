"""STL-10 in torchvision's layout, from files that are made here."""

import hashlib

import numpy as np
import torch
from torchvision.datasets import STL10

from saq_eval import load_dataset


def test_pixels_labels_and_names(tmp_path, monkeypatch):
    folder = tmp_path / STL10.base_folder
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 96, 96), dtype=np.uint8)

    def write(name, content):
        (folder / name).write_bytes(content.tobytes())
        return [name, hashlib.md5(content.tobytes()).hexdigest()]

    files = [write("x.bin", pixels.transpose(0, 1, 3, 2)), write("y.bin", np.array([2, 10], np.uint8))]
    monkeypatch.setattr(STL10, "train_list", files)
    monkeypatch.setattr(STL10, "test_list", files)
    images = load_dataset("stl10", "test", tmp_path)
    assert images.labels.tolist() == [1, 9] and images.class_names[9] == "truck"
    assert torch.equal(images.read([1])[0], torch.from_numpy(pixels[1]) / 255)
