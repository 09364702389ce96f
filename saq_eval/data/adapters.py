"""Data sets of other libraries: any `torch.utils.data.Dataset` of (image, label), and Hugging Face's `datasets.Dataset`.

Neither library's module of images is imported: what is given is known by what it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from saq_eval.core.errors import SaqEvalError, in_short
from saq_eval.core.paths import check_name
from saq_eval.data.arrays import ArraySource, as_labels
from saq_eval.data.classes import numbered
from saq_eval.data.geometry import Geometry
from saq_eval.data.images import Split, digest_of
from saq_eval.data.lazy import LazyImages, Shape, Source
from saq_eval.data.pictures import is_grey, to_tensor


@dataclass(frozen=True)
class TorchItems:
    """Reads (image, label) by index from a `torch.utils.data.Dataset`."""

    dataset: Any

    def __call__(self, index: int) -> tuple[Any, Any]:
        item = self.dataset[index]
        if not isinstance(item, (tuple, list)) or len(item) < 2:
            raise SaqEvalError(f"an item is (image, label), not {in_short(item)}")
        return item[0], item[1]


@dataclass(frozen=True)
class Rows:
    """Reads (image, label) by index from a Hugging Face data set."""

    dataset: Any
    image: str
    label: str

    def __call__(self, index: int) -> tuple[Any, Any]:
        row = self.dataset[index]
        return row[self.image], row[self.label]


class ItemSource(Source):
    """Pictures of a data set that gives (image, label) by index, read one by one when they are asked for.

    An image is a PIL picture; uint8, or float in [0, 1], as a tensor or an array (h, w), (c, h, w) or (h, w, c).
    """

    def __init__(self, name: str, item: Callable[[int], tuple[Any, Any]], labels: Tensor) -> None:
        self.title, self.item, self.labels = name, item, labels
        first = self._image(0)
        self.channels = (1 if is_grey(first) else 3) if isinstance(first, Image.Image) else _tensor(first).shape[0]
        self._check_repeatable(min(len(labels), 4))

    def _check_repeatable(self, count: int) -> None:
        for place in range(count):
            first, second = (self._read(place, None) for _ in range(2))
            if first.shape != second.shape or not torch.equal(first, second):
                raise SaqEvalError(
                    f"{self.title}: item {place} differs each time it is read: leave out random transforms, such as "
                    "augmentation"
                )

    def _image(self, place: int) -> Any:
        """Return an item's image; name the item in whatever is raised."""
        try:
            image, label = self.item(place)
            label = int(label)
        except Exception as error:  # the user's own code may raise anything
            reason = str(error) if isinstance(error, SaqEvalError) else f"{type(error).__name__}: {error}"
            raise SaqEvalError(f"{self.title}: item {place} cannot be read: {' '.join(reason.split())}") from error
        if label != self.labels[place]:
            raise SaqEvalError(
                f"{self.title}: item {place} has the label {label}, but the list of labels says {int(self.labels[place])}"
            )
        return image

    def _read(self, place: int, geometry: Geometry | None) -> Tensor:
        image = self._image(place)
        try:
            if isinstance(image, Image.Image):
                if self.channels == 1 and not is_grey(image):
                    raise SaqEvalError("it has colours and the first is grey: convert all to RGB in the data set")
                return to_tensor(image, self.channels, geometry, self.title)
            pixels = _tensor(image)
            return pixels if geometry is None else geometry.of_images(pixels.unsqueeze(0))[0]
        except SaqEvalError as error:
            raise SaqEvalError(f"{self.title}: item {place}: {error}") from error

    def shape(self, place: int) -> Shape:
        image = self._image(place)
        if isinstance(image, Image.Image):
            return self.channels, image.height, image.width
        channels, height, width = _tensor(image).shape
        return channels, height, width

    def read(self, places: Sequence[int], geometry: Geometry | None) -> Iterable[Tensor]:
        return (self._read(place, geometry) for place in places)

    def digest(self, places: Sequence[int]) -> str:
        return digest_of(*(digest_of(self._read(place, None)) for place in places))


def torch_images(dataset: Any, split: Split) -> LazyImages:
    """Make images of a `torch.utils.data.Dataset` of (image, label), which is read by index.

    Class names are its `classes`, else "0", "1", …; labels are its `targets` or `labels`, else all items are read once.
    A `Subset` is looked through.

    Raises:
        SaqEvalError: no length, an item that cannot be read or has no image and label, or images that change each time.
    """
    title = type(dataset).__name__
    try:
        count = len(dataset)
    except TypeError as error:
        raise SaqEvalError(
            f"{title}: a data set is read by index and has a length: give one that is no iterator"
        ) from error
    if not count:
        raise SaqEvalError(f"{title}: the data set is empty")
    items = TorchItems(dataset)
    known = _labels(dataset)
    labels = known if known is not None and len(known) == count else _read_labels(title, items, count)
    classes = _classes(dataset)
    source = ItemSource(title, items, labels)
    names = numbered(labels) if classes is None else classes
    return LazyImages(_name(title), split, labels, names, torch.arange(count), source)


def _inner(dataset: Any) -> Any | None:
    """Return what a `Subset` is of; `None` for another data set."""
    return dataset.dataset if isinstance(dataset, torch.utils.data.Subset) else None


def _labels(dataset: Any) -> Tensor | None:
    """Return the labels that a data set has as a list; `None` if it has none, or changes them."""
    if (inner := _inner(dataset)) is not None:
        labels = _labels(inner)
        return None if labels is None else labels[torch.as_tensor(dataset.indices, dtype=torch.int64)]
    if getattr(dataset, "target_transform", None) is not None:
        return None
    for attribute in ("targets", "labels"):
        values = getattr(dataset, attribute, None)
        if isinstance(values, (list, tuple, np.ndarray, Tensor)):
            try:
                labels = as_labels(values)
            except SaqEvalError:  # such as boxes: it is no list of class indices, so the items are asked
                continue
            if labels.dim() == 1:
                return labels
    return None


def _read_labels(title: str, item: Callable[[int], tuple[Any, Any]], count: int) -> Tensor:
    labels = torch.empty(count, dtype=torch.int64)
    for index in range(count):
        try:
            labels[index] = int(item(index)[1])
        except Exception as error:  # the user's own code may raise anything
            reason = str(error) if isinstance(error, SaqEvalError) else f"{type(error).__name__}: {error}"
            raise SaqEvalError(f"{title}: item {index} cannot be read: {' '.join(reason.split())}") from error
    return labels


def _classes(dataset: Any) -> tuple[str, ...] | None:
    if (inner := _inner(dataset)) is not None:
        return _classes(inner)
    names = getattr(dataset, "classes", None)
    if not isinstance(names, (list, tuple)) or not names:
        return None
    return tuple(str(name[0]) if isinstance(name, (list, tuple)) and name else str(name) for name in names)


def is_hugging_face(given: Any) -> bool:
    """Return whether something is of Hugging Face's `datasets`, without importing that."""
    return type(given).__module__.split(".")[0] == "datasets"


def hugging_face_images(dataset: Any, split: Split) -> LazyImages:
    """Make images of a Hugging Face `datasets.Dataset`, which is read by index.

    Raises:
        SaqEvalError: no one column of images, no one column of class labels, or an item that cannot be read.
    """
    title = type(dataset).__name__
    if isinstance(dataset, dict):
        raise SaqEvalError(f"{title}: give one of its splits, such as dataset[{next(iter(dataset), 'test')!r}]")
    if not hasattr(dataset, "features") or not hasattr(dataset, "__len__"):
        raise SaqEvalError(f"{title}: a datasets.Dataset is read by index: load it without streaming")
    if not len(dataset):
        raise SaqEvalError(f"{title}: the data set is empty")
    image, label = (_column(title, dataset.features, kind) for kind in ("Image", "ClassLabel"))
    labels = as_labels(list(dataset[label]))
    names = tuple(dataset.features[label].names)
    source = ItemSource(title, Rows(dataset, image, label), labels)
    info = getattr(dataset, "info", None)
    return LazyImages(
        _name(getattr(info, "dataset_name", None) or "images"), split, labels, names, torch.arange(len(labels)), source
    )


def _column(title: str, features: Any, kind: str) -> str:
    found = [name for name, feature in features.items() if type(feature).__name__ == kind]
    if len(found) != 1:
        shown = ", ".join(f"{name} ({type(feature).__name__})" for name, feature in features.items())
        raise SaqEvalError(
            f"{title}: a data set has one column of the feature {kind}, not {len(found)}, among {shown}: use "
            "select_columns or cast_column"
        )
    return found[0]


def _name(title: str) -> str:
    """Return a data set's name: what it is called, if that can be a name, else "images"."""
    name = title.lower().rpartition("/")[2]
    try:
        check_name("dataset", name)
    except SaqEvalError:
        return "images"
    return name


def _tensor(image: Any) -> Tensor:
    """Return an image, float32 (c, h, w) in [0, 1]."""
    if not isinstance(image, (np.ndarray, Tensor)):
        raise SaqEvalError(f"an image is a PIL picture, a tensor or an array, not {in_short(image)}")
    if image.ndim not in (2, 3):
        raise SaqEvalError(f"an image is (h, w), (c, h, w) or (h, w, c), not {tuple(image.shape)}")
    return next(iter(ArraySource(image[None]).read([0], None)))
