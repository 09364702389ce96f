"""Opens images, whatever they are given as."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saq_eval.core.errors import SaqEvalError, in_short
from saq_eval.core.paths import is_folder, user_path
from saq_eval.data.adapters import hugging_face_images, is_hugging_face, torch_images
from saq_eval.data.arrays import array_images
from saq_eval.data.classes import read_classes
from saq_eval.data.evidence import with_boxes, with_masks
from saq_eval.data.folder import open_folder
from saq_eval.data.geometry import Geometry
from saq_eval.data.images import Images, Split
from saq_eval.data.lazy import with_geometry
from saq_eval.data.registry import load_dataset

FOLDER = "folder:"


def open_images(
    given: Any,
    split: Split = "test",
    data_root: str | os.PathLike | None = None,
    *,
    geometry: Geometry | None = None,
    masks: str | os.PathLike | None = None,
    boxes: str | os.PathLike | None = None,
    classes: str | os.PathLike | Sequence[str] | None = None,
) -> Images:
    """Open labelled images; nothing but names and labels is held, unless the images are in memory already.

    Args:
        given: a registered name (`saq-eval datasets` lists them); "folder:PATH", see `folder.open_folder`; `Images`;
            a `torch.utils.data.Dataset` of (image, label), see `adapters.torch_images`; a pair of arrays or tensors,
            images and labels, see `arrays.ArraySource`; or a Hugging Face `datasets.Dataset`.
        split: "train" or "test"; what is no name and no folder is taken as this split, except for `Images`.
        data_root: see `load_dataset`.
        geometry: brings all pictures to one size.
        masks: "none", "otsu" or a folder of PNG files, see `evidence.with_masks`. By default, evidence that the images
            have; else Otsu's foreground for grey images, and no masks for colour images.
        boxes: a COCO JSON file, or a folder of Pascal VOC XML files, see `evidence.with_boxes`.
        classes: class names in the order of the network's outputs, or a file of them, see `classes.read_classes`.

    Raises:
        SaqEvalError: what is given is none of these or cannot be read; the message names it.
    """
    if split not in ("train", "test"):
        raise SaqEvalError(f"a dataset's split is 'train' or 'test', not {in_short(split)}")
    if masks is not None and boxes is not None:
        raise SaqEvalError(f"masks {in_short(masks)} and boxes {in_short(boxes)} are both given: give one of the two")
    if geometry is not None and not isinstance(geometry, Geometry):
        raise SaqEvalError(f"geometry is a Geometry, such as Geometry(size=224), not {in_short(geometry)}")
    images = _open(given, split, data_root)
    if geometry is not None:
        images = with_geometry(images, geometry)
    images = with_masks(images, masks) if boxes is None else with_boxes(images, boxes)
    return images if classes is None else images.with_classes(read_classes(classes))


def dataset_name(given: str) -> str:
    """Return the name of the dataset that a text names: a registered name, or the name of the folder in "folder:PATH"."""
    return Path(os.path.abspath(user_path(given.removeprefix(FOLDER)))).name if given.startswith(FOLDER) else given


def _open(given: Any, split: Split, data_root: str | os.PathLike | None) -> Images:
    if isinstance(given, Images):
        return given
    if isinstance(given, str):
        return _named(given, split, data_root)
    if isinstance(given, os.PathLike):
        return open_folder(given, split)
    if is_hugging_face(given):
        return hugging_face_images(given, split)
    if isinstance(given, (tuple, list)) and len(given) == 2 and isinstance(given[0], (np.ndarray, Tensor)):
        return array_images("images", split, *given)
    if isinstance(given, torch.utils.data.Dataset) or (hasattr(given, "__getitem__") and _is_a_data_set(given)):
        return torch_images(given, split)
    raise SaqEvalError(
        "images are given as a dataset's name, 'folder:PATH', a torch.utils.data.Dataset of (image, label), a pair of "
        f"arrays (images, labels), a datasets.Dataset or saq_eval's Images, not as {in_short(given)}"
    )


def _is_a_data_set(given: Any) -> bool:
    """Return whether something that is no subclass behaves as a data set that is read by index."""
    return hasattr(given, "__len__") and not isinstance(given, (tuple, list, dict, np.ndarray, Tensor))


def _named(given: str, split: Split, data_root: str | os.PathLike | None) -> Images:
    if given.startswith(FOLDER):
        path = given.removeprefix(FOLDER)
        if not path:
            raise SaqEvalError("'folder:' is followed by a path, as in folder:pictures")
        return open_folder(path, split)
    try:
        return load_dataset(given, split, data_root)
    except SaqEvalError as error:
        if str(error).startswith("unknown dataset") and is_folder(Path(given)):
            raise SaqEvalError(f"{error}; for the pictures in this folder write {FOLDER}{given}") from error
        raise
