"""MNIST, and FashionMNIST in the same format: files of the data root, read and downloaded by torchvision."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

from saq_eval.core.errors import SaqEvalError
from saq_eval.data.images import Dataset, Split, grey_dataset
from saq_eval.data.registry import register_dataset

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
    missing = [path for path in (folder, folder.parent, data_root) if not os.path.exists(path)]
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # torchvision prints each mirror it tries
            raw = source(data_root, train=split == "train", download=True)
    except (OSError, RuntimeError, ValueError, AssertionError, EOFError) as error:
        for path in missing:  # a failed download leaves empty folders
            with contextlib.suppress(OSError):
                path.rmdir()
        files = ", ".join(Path(archive).stem for archive, _ in source.resources)
        reason = str(error).strip().partition("\n")[0].rstrip(":") or type(error).__name__
        raise SaqEvalError(
            f"{name}: could not read or download its files ({reason}): looked for {files} in {folder}; "
            "set --data-root or SAQ_EVAL_DATA_ROOT to a folder that holds them, "
            "or use --dataset digits, which needs none"
        ) from error
    return grey_dataset(name, split, raw.data, raw.targets, class_names)
