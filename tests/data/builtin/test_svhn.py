"""SVHN in torchvision's layout, from a file that is made here."""

import hashlib

import numpy as np
import torch
from scipy.io import savemat
from torchvision.datasets import SVHN

from saq_eval import load_dataset


def test_pixels_and_labels(tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 4), dtype=np.uint8)
    path = tmp_path / "test_32x32.mat"
    savemat(path, {"X": pixels, "y": np.array([[1], [10], [9], [2]], np.uint8)})  # SVHN calls the digit 0 10
    split = ["", path.name, hashlib.md5(path.read_bytes()).hexdigest()]
    monkeypatch.setattr(SVHN, "split_list", {"test": split})
    images = load_dataset("svhn", "test", tmp_path)
    assert images.labels.tolist() == [1, 0, 9, 2] and images.class_names == tuple("0123456789")
    assert torch.equal(images.read([3])[0], torch.from_numpy(pixels[..., 3]).permute(2, 0, 1) / 255)
