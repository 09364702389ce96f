"""A small dataset, right or wrong in one part."""

import torch

from saq_eval.data import Dataset


def made(**changes) -> Dataset:
    """Return a dataset of three images, with some of its fields replaced."""
    parts = {
        "name": "mine",
        "split": "test",
        "images": torch.rand(3, 1, 4, 5, generator=torch.Generator().manual_seed(0)),
        "labels": torch.tensor([0, 1, 1]),
        "class_names": ("cat", "dog"),
        "indices": torch.arange(3),
    }
    return Dataset(**parts | changes)
