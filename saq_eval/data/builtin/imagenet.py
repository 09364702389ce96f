"""ImageNet's 1,000 classes: pictures of the data root, which nobody but its owner may hand out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from saq_eval.core.errors import SaqEvalError
from saq_eval.data.folder import open_folder
from saq_eval.data.images import Images, Split
from saq_eval.data.lazy import LazyImages
from saq_eval.data.registry import register_dataset


@register_dataset("imagenet")
def load(split: Split, data_root: Path) -> Images:
    """1.3 million and 50,000 photographs of a thousand classes, any size (Russakovsky et al. 2015, arXiv 1409.0575).

    The test set is ImageNet's validation set, since the labels of its test set are not public.
    """
    root = data_root / "imagenet"
    part = root / ("train" if split == "train" else "val")
    if not part.is_dir():
        raise SaqEvalError(
            f"imagenet: there is no folder {part}, and ImageNet cannot be downloaded without an account: unpack it to "
            f"{part / 'n01440764'} and so on, one folder per class, as torchvision.datasets.ImageNet does; meta.bin beside "
            "them, which that writes too, names the classes"
        )
    images = open_folder(root, split, name="imagenet")
    return images if not (root / "meta.bin").is_file() else _named(images, root)


def _named(images: LazyImages, root: Path) -> Images:
    """Return images whose labels are positions in the order of all classes, which is that of the networks' outputs."""
    from torchvision.datasets.imagenet import load_meta_file

    try:
        words: dict[str, tuple[str, ...]] = load_meta_file(str(root))[0]
        order = sorted(words)
        first = tuple(words[wnid][0] for wnid in order)
    except Exception as error:  # torch.load raises whatever the file makes it raise
        reason = " ".join(str(error).split())[:200]
        raise SaqEvalError(f"{root / 'meta.bin'}: cannot be read as ImageNet's names: {reason}") from error
    unknown = [name for name in images.class_names if name not in words]
    if unknown:
        raise SaqEvalError(
            f"{root}: the folder {unknown[0]} is no class of {root / 'meta.bin'}: remove it, or meta.bin"
        )
    place = {wnid: position for position, wnid in enumerate(order)}
    labels = torch.tensor([place[name] for name in images.class_names])[images.labels]
    return replace(images, labels=labels, class_names=first)
