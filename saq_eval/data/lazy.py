"""Images that are read item by item from a source: a folder, an array, a data set of another library."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from saq_eval.core.errors import SaqEvalError
from saq_eval.data.checks import label_problems
from saq_eval.data.classes import match_labels
from saq_eval.data.geometry import Geometry
from saq_eval.data.images import EvidenceBy, Images, Split, digest_of

T = TypeVar("T")
Shape = tuple[int, int, int]
_CHECKED_AT_ONCE = 1024  # pictures whose checks wait in a queue


class Source(ABC):
    """Where pictures are read from, by place: 0 to n − 1. It pickles small, if its pictures are in files.

    Attributes:
        checkable: whether a picture may turn out to be unreadable.
        threads: how many threads read at once.
    """

    checkable: bool = True

    @property
    def threads(self) -> int:
        return 1

    @abstractmethod
    def shape(self, place: int) -> Shape:
        """Return a picture's channels, height and width, before it is resized and cut."""

    @abstractmethod
    def read(self, places: Sequence[int], geometry: Geometry | None) -> Iterable[Tensor]:
        """Return pictures, each float32 (c, h, w) in [0, 1], resized and cut."""

    @abstractmethod
    def digest(self, places: Sequence[int]) -> str:
        """Return a hash of what is read."""

    def name(self, place: int) -> str | None:
        """Return a picture's name; `None` if it has none."""
        return None

    def check(self, place: int, geometry: Geometry | None) -> Shape:
        """Prove that a picture can be read, and return its channels, height and width, resized and cut."""
        channels, height, width = next(iter(self.read([place], geometry))).shape
        return channels, height, width


class Evidence(ABC):
    """Where the pixels are that decide the labels, by the source's places."""

    @abstractmethod
    def read(self, place: int, shape: Shape, geometry: Geometry | None) -> Tensor | None:
        """Return a picture's evidence, bool (1, h, w), resized and cut; `None` if there is none.

        Args:
            shape: of the picture before it is resized and cut.

        Raises:
            SaqEvalError: evidence that cannot be read, or that is for a picture of another size.
        """

    @abstractmethod
    def digest(self, places: Sequence[int]) -> str:
        """Return a hash of the evidence."""


@dataclass(frozen=True, repr=False, eq=False)
class LazyImages(Images):
    """One split of labelled images, read item by item; see `Images` for what is not said here.

    Attributes:
        source: where the pictures are read from.
        places: int64 (n,), each image's place in the source; by default 0 to n − 1.
        geometry: what is done to each picture; `None` leaves the pictures, which have one size then, as they are.
        evidence: where the evidence is read from; `None` if there is none.

    Raises:
        SaqEvalError: wrong labels, classes or indices, or no image at all. The message names the part that is wrong.
    """

    name: str
    split: Split
    labels: Tensor
    class_names: tuple[str, ...]
    indices: Tensor
    source: Source
    places: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    geometry: Geometry | None = None
    evidence: Evidence | None = None
    evidence_by: EvidenceBy = "given"
    foreground: bool | None = None

    def __post_init__(self) -> None:
        if not len(self.labels):
            raise SaqEvalError(f"{self.name} {self.split} set: there are no images")
        problem = next(label_problems(self, len(self.labels)), None)
        if problem:
            raise SaqEvalError(f"{self.name} {self.split} set: {problem}")
        if not len(self.places):
            object.__setattr__(self, "places", torch.arange(len(self.labels)))

    @cached_property
    def image_shape(self) -> Shape:
        """Channels, height and width: of the first image, if there is no geometry. `read` refuses other shapes."""
        channels, height, width = self.source.shape(int(self.places[0]))
        return (
            (channels, height, width) if self.geometry is None else (channels, self.geometry.side, self.geometry.side)
        )

    def read(self, positions: Sequence[int] | np.ndarray | Tensor) -> Tensor:
        places = self._places(positions)
        images = torch.empty(len(places), *self.image_shape)
        for image, place, picture in zip(images, places, self.source.read(places, self.geometry), strict=True):
            self._check_shape(place, tuple(picture.shape), self.image_shape)
            image.copy_(picture)
        return images

    def read_evidence(self, positions: Sequence[int] | np.ndarray | Tensor) -> Tensor | None:
        if self.evidence is None:
            return None
        masks = [self._evidence(place) for place in self._places(positions)]
        return torch.stack(masks) if masks else torch.empty(0, 1, *self.image_shape[1:], dtype=torch.bool)

    def _evidence(self, place: int) -> Tensor:
        assert self.evidence is not None  # asked for only then
        mask = self.evidence.read(place, self.source.shape(place), self.geometry)
        return torch.zeros(1, *self.image_shape[1:], dtype=torch.bool) if mask is None else mask

    def _places(self, positions: Sequence[int] | np.ndarray | Tensor) -> list[int]:
        return self.places[torch.as_tensor(positions, dtype=torch.int64)].tolist()

    def _check_shape(self, place: int, shape: tuple[int, ...], wanted: Shape) -> None:
        if shape != wanted:
            first = int(self.places[0])
            raise SaqEvalError(
                f"{self._called(place)} has {_in_words(shape)} and {self._called(first)} {_in_words(wanted)}: "
                "give --size, or geometry=Geometry(size=…) in Python, to bring all pictures to one size"
            )

    def _called(self, place: int) -> str:
        return self.source.name(place) or f"image {place} of {self.name}"

    @property
    def fingerprint(self) -> str:
        places = self.places.tolist()
        evidence = "" if self.evidence is None else self.evidence.digest(places)
        names = self.class_names
        return digest_of(self.labels, self.indices, self.source.digest(places), repr(self.geometry), evidence, *names)

    def subset(self, positions: Sequence[int] | np.ndarray | Tensor) -> LazyImages:
        chosen = torch.as_tensor(positions)
        return replace(self, labels=self.labels[chosen], indices=self.indices[chosen], places=self.places[chosen])

    def with_classes(self, names: Sequence[str]) -> LazyImages:
        labels = match_labels(f"{self.name} {self.split} set", self.labels, self.class_names, names)
        return replace(self, labels=labels, class_names=tuple(names))

    def file_names(self, positions: Sequence[int] | np.ndarray | Tensor) -> list[str]:
        places = self._places(positions)
        names = [name for place in places if (name := self.source.name(place))]
        return names if len(names) == len(places) else []

    def check(self, position: int) -> None:
        """Prove that an image and its evidence can be read, with the right shape; see `check_readable`."""
        place = int(self.places[position])
        self._check_shape(place, self.source.check(place, self.geometry), self.image_shape)
        if self.evidence is not None:
            self._evidence(place)


def check_readable(
    images: Images,
    positions: Sequence[int] | np.ndarray | Tensor | None = None,
    progress: Callable[[int], object] | None = None,
) -> None:
    """Prove that images and their evidence can be read, before anything is computed from them.

    Nothing is read of images in memory. A JPEG is read at an eighth of its size, which needs all of the file. A
    `torch.utils.data.Dataset` is read as it is, since nothing else would prove anything.

    Args:
        positions: int (m,), the images that will be read; by default all of them.
        progress: called with 1 for each image, as `update` of a progress bar is.

    Raises:
        SaqEvalError: an image or a mask that cannot be read or has a wrong size, by its file's name.
    """
    if not isinstance(images, LazyImages) or not (images.source.checkable or images.evidence):
        return
    chosen = torch.arange(len(images)) if positions is None else torch.as_tensor(positions)
    for part in chosen.split(_CHECKED_AT_ONCE):
        for _ in in_threads(images.source.threads, images.check, part.tolist()):
            if progress is not None:
                progress(1)


def in_threads(threads: int, function: Callable[[int], T], places: Sequence[int]) -> Iterator[T]:
    """Yield a function's results in the order of the places, computed by several threads if that is more than one."""
    if threads == 1 or len(places) < 2:
        yield from map(function, places)
        return
    with ThreadPoolExecutor(min(threads, len(places))) as pool:
        yield from pool.map(function, places)


class HeldSource(Source):
    """The images of any `Images` as a source, to give them a geometry, masks or other classes."""

    def __init__(self, held: Images) -> None:
        self.held = held
        self.checkable = False

    def shape(self, place: int) -> Shape:
        return self.held.image_shape

    def read(self, places: Sequence[int], geometry: Geometry | None) -> Iterable[Tensor]:
        images = self.held.read(places)
        return images if geometry is None else geometry.of_images(images)

    def digest(self, places: Sequence[int]) -> str:
        return digest_of(self.held.fingerprint, torch.tensor(places))


class HeldEvidence(Evidence):
    """The evidence of any `Images`."""

    def __init__(self, held: Images) -> None:
        self.held = held

    def read(self, place: int, shape: Shape, geometry: Geometry | None) -> Tensor | None:
        masks = self.held.read_evidence([place])
        if masks is None:
            return None
        return (masks if geometry is None else geometry.of_masks(masks))[0]

    def digest(self, places: Sequence[int]) -> str:
        masks = self.held.read_evidence(places)
        return "" if masks is None else digest_of(masks)


def lazily(images: Images) -> LazyImages:
    """Return images in the form that a geometry, evidence or other classes can be put into."""
    if isinstance(images, LazyImages):
        return images
    evidence = None if images.read_evidence([0]) is None else HeldEvidence(images)
    return LazyImages(
        images.name,
        images.split,
        images.labels,
        images.class_names,
        images.indices,
        HeldSource(images),
        evidence=evidence,
        evidence_by=images.evidence_by,
        foreground=images.foreground,
    )


def with_geometry(images: Images, geometry: Geometry) -> LazyImages:
    """Return images that are resized and cut when they are read, and their evidence with them."""
    lazy = lazily(images)
    if lazy.geometry is not None:
        raise SaqEvalError(f"{images.name} has a geometry already: {lazy.geometry}")
    return replace(lazy, geometry=geometry)


def _in_words(shape: Sequence[int]) -> str:
    channels, height, width = shape
    return f"{width}x{height} pixels in {channels} {'channel' if channels == 1 else 'channels'}"
