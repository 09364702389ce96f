"""MNIST, and FashionMNIST in the same format: files of the data root, read and downloaded by torchvision."""

from __future__ import annotations

from pathlib import Path

from saq_eval.data.images import Dataset, Split, grey_dataset
from saq_eval.data.registry import register_dataset
from saq_eval.data.torchvision_files import read_or_download

_CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


@register_dataset("mnist")
def load_mnist(split: Split, data_root: Path) -> Dataset:
    """60,000 and 10,000 handwritten digits, 28x28 (LeCun et al. 1998)."""
    return _read("mnist", "MNIST", split, data_root, tuple("0123456789"))


@register_dataset("fashionmnist")
def load_fashionmnist(split: Split, data_root: Path) -> Dataset:
    """60,000 and 10,000 pictures of clothes, 28x28 (Xiao, Rasul and Vollgraf 2017, arXiv 1708.07747)."""
    return _read("fashionmnist", "FashionMNIST", split, data_root, _CLOTHES)


def _read(name: str, torchvision_name: str, split: Split, data_root: Path, class_names: tuple[str, ...]) -> Dataset:
    """Read one split; torchvision checks the files against their MD5 sums and downloads those that are missing."""
    # Imported here, because the import takes a second and most commands do not need it.
    from torchvision import datasets

    source = getattr(datasets, torchvision_name)
    folder = data_root / torchvision_name / "raw"
    files = [Path(archive).stem for archive, _ in source.resources]
    raw = read_or_download(
        name, folder, data_root, files, lambda: source(data_root, train=split == "train", download=True)
    )
    return grey_dataset(name, split, raw.data, raw.targets, class_names)
