"""CIFAR-10 and CIFAR-100: files of the data root, read and downloaded by torchvision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from saq_eval.data.arrays import array_images
from saq_eval.data.images import Images, Split
from saq_eval.data.registry import register_dataset
from saq_eval.data.torchvision_files import read_or_download


@register_dataset("cifar10")
def load_cifar10(split: Split, data_root: Path) -> Images:
    """50,000 and 10,000 photographs of ten classes, 32x32 (Krizhevsky 2009)."""
    from torchvision.datasets import CIFAR10

    return _read("cifar10", CIFAR10, split, data_root)


@register_dataset("cifar100")
def load_cifar100(split: Split, data_root: Path) -> Images:
    """50,000 and 10,000 photographs of a hundred classes, 32x32 (Krizhevsky 2009)."""
    from torchvision.datasets import CIFAR100

    return _read("cifar100", CIFAR100, split, data_root)


def _read(name: str, source: Any, split: Split, data_root: Path) -> Images:
    files = [file for file, _ in (*source.train_list, *source.test_list)]
    folder = data_root / source.base_folder
    raw = read_or_download(
        name, folder, data_root, files, lambda: source(data_root, train=split == "train", download=True)
    )
    return array_images(name, split, raw.data, raw.targets, raw.classes)
