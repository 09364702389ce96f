"""The scanned digits that come with scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from skimage.transform import resize

from saq_eval.data.images import Dataset, Split, grey_dataset
from saq_eval.data.registry import register_dataset


@register_dataset("digits")
def load(split: Split, data_root: Path) -> Dataset:
    """scikit-learn's 1,797 scanned 8x8 digits, resized to 28x28 (bilinear, 8 bits); 360 of them are the test set."""
    # Imported here, because the import takes a second and most commands do not need it.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    train, test = train_test_split(np.arange(len(bunch.target)), test_size=360, stratify=bunch.target, random_state=0)
    chosen = np.sort(train if split == "train" else test)
    small = bunch.images[chosen] / 16.0
    large = resize(small, (len(chosen), 28, 28), order=1)
    images = torch.from_numpy(np.rint(large * 255).astype(np.uint8))
    labels = torch.from_numpy(bunch.target[chosen])
    return grey_dataset("digits", split, images, labels, tuple(str(name) for name in bunch.target_names))
