"""STL-10: files of the data root, read and downloaded by torchvision."""

from __future__ import annotations

from pathlib import Path

from saq_eval.data.arrays import array_images
from saq_eval.data.images import Images, Split
from saq_eval.data.registry import register_dataset
from saq_eval.data.torchvision_files import read_or_download

_CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")


@register_dataset("stl10")
def load(split: Split, data_root: Path) -> Images:
    """5,000 and 8,000 labelled photographs of ten classes, 96x96 (Coates, Ng and Lee 2011)."""
    from torchvision.datasets import STL10

    files = [file for file, _ in (*STL10.train_list, *STL10.test_list)]  # torchvision wants all of them
    folder = data_root / STL10.base_folder
    raw = read_or_download("stl10", folder, data_root, files, lambda: STL10(data_root, split=split, download=True))
    return array_images("stl10", split, raw.data, raw.labels, _CLASSES)
