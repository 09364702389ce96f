"""SVHN: files of the data root, read and downloaded by torchvision."""

from __future__ import annotations

from pathlib import Path

from saq_eval.data.arrays import array_images
from saq_eval.data.images import Images, Split
from saq_eval.data.registry import register_dataset
from saq_eval.data.torchvision_files import read_or_download


@register_dataset("svhn")
def load(split: Split, data_root: Path) -> Images:
    """73,257 and 26,032 digits cut out of photographs of house numbers, 32x32 (Netzer et al. 2011)."""
    from torchvision.datasets import SVHN

    file = SVHN.split_list[split][1]
    raw = read_or_download("svhn", data_root, data_root, [file], lambda: SVHN(data_root, split=split, download=True))
    return array_images("svhn", split, raw.data, raw.labels, tuple("0123456789"))
