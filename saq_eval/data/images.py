"""Labelled images: one split of a dataset, read item by item or held in memory, and samples of it."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from saq_eval.core.errors import SaqEvalError
from saq_eval.data.checks import is_int64, kind_of, label_problems, outside
from saq_eval.data.classes import match_labels
from saq_eval.data.masks import MaskRecord, foreground_mask, mask_record, mask_source

Split = Literal["train", "test"]
EvidenceBy = Literal["known", "given"]


@dataclass(frozen=True)
class Item:
    """One labelled image.

    Attributes:
        image: float32 (channels, height, width) in [0, 1].
        label: the class index.
        class_name: the class's name.
        mask: bool (1, height, width), true on the evidence; see `Dataset.masks`.
    """

    image: Tensor
    label: int
    class_name: str
    mask: Tensor


class Images(ABC):
    """One split of labelled images, read item by item.

    A position is a place in this object: 0 to n − 1. An image's index is its identity, which does not change when
    other images come or go.

    Attributes:
        name: the dataset's name.
        split: "train" or "test".
        labels: int64 (n,), class indices.
        class_names: one name per class index.
        indices: int64 (n,), each image's identity: unique, from 0 to 2^53 − 1. It seeds the noise of random methods.
        evidence_by: "known" if the evidence was put into the images on purpose, "given" if somebody marked it in them.
        foreground: whether the object in the image stands in where there is no evidence (see `foreground_mask`);
            `None`, the default, does so for images of one channel.
    """

    name: str
    split: Split
    labels: Tensor
    class_names: tuple[str, ...]
    indices: Tensor
    evidence_by: EvidenceBy = "given"
    foreground: bool | None = None

    @property
    @abstractmethod
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""

    @abstractmethod
    def read(self, positions: Sequence[int] | np.ndarray | Tensor) -> Tensor:
        """Return the images at `positions`, int (m,), in that order: float32 (m, channels, height, width) in [0, 1].

        Raises:
            SaqEvalError: an image that cannot be read, or one of another shape; it names the image.
        """

    def read_evidence(self, positions: Sequence[int] | np.ndarray | Tensor) -> Tensor | None:
        """Return where the pixels are that decide the label, bool (m, 1, height, width).

        It is `None` if that is not known of any image, and all false for an image of which it is not known.
        """
        return None

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """The identity of all images, labels and evidence by content, 32 hexadecimal digits."""

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name} {self.split}: {len(self)} images, {len(self.class_names)} classes)"

    def batches(self, size: int, positions: Sequence[int] | np.ndarray | Tensor | None = None) -> Iterator[Tensor]:
        """Yield the images at `positions`, by default all of them, `size` at a time; see `read`."""
        if size < 1:
            raise SaqEvalError(f"a batch has at least one image, not {size}")
        chosen = torch.arange(len(self)) if positions is None else torch.as_tensor(positions)
        return (self.read(part) for part in chosen.split(size))

    def sample(self, count: int, seed: int) -> Dataset:
        """Return `count` images drawn without replacement, stratified by class, in the split's order, in memory.

        Each class's count differs from the class's share of `count` by less than one image. The sample's `positions`
        are places in this object.

        Raises:
            SaqEvalError: if `count` is below 1 or above the number of images.
        """
        if not 1 <= count <= len(self):
            raise SaqEvalError(
                f"samples must lie between 1 and {len(self)}, the size of the {self.name} {self.split} set, not {count}"
            )
        chosen = stratified(self.labels, count, seed)
        files = tuple(self.file_names(chosen))
        return replace(self.subset(chosen).in_memory(), positions=chosen, files=files)

    def subset(self, positions: Sequence[int] | np.ndarray | Tensor) -> Images:
        """Return the images at `positions`, int (m,), in that order."""
        from saq_eval.data.lazy import lazily

        return lazily(self).subset(positions)

    def with_classes(self, names: Sequence[str]) -> Images:
        """Return the same images, with labels that are positions in `names`, such as a network's outputs.

        Classes are matched by name; see `classes.match_labels`.

        Raises:
            SaqEvalError: a class of these images that `names` lacks.
        """
        from saq_eval.data.lazy import lazily

        return lazily(self).with_classes(names)

    def in_memory(self) -> Dataset:
        """Read all images at once."""
        everything = torch.arange(len(self))
        return Dataset(
            self.name,
            self.split,
            self.read(everything),
            self.labels,
            self.class_names,
            self.indices,
            self.read_evidence(everything),
            self.evidence_by,
            foreground=self.foreground,
        )

    def file_names(self, positions: Sequence[int] | np.ndarray | Tensor) -> list[str]:
        """Return the names of the images' files, relative to the split's folder; none if they are not in files."""
        return []

    def names_of(self, positions: Sequence[int] | np.ndarray | Tensor) -> list[str]:
        """Return what a reader finds the images by: their file names, or their indices as text."""
        if files := self.file_names(positions):
            return files
        return [str(index) for index in self.indices[torch.as_tensor(positions)].tolist()]


@dataclass(frozen=True, repr=False)
class Dataset(Images):
    """One split of a dataset, in memory; what it holds is described at `Images`, except for:

    Attributes:
        images: float32 (n, channels, height, width) in [0, 1].
        evidence: bool (n, 1, height, width), true on the pixels that decide the label; `None` if they are not known.
        positions: int64 (n,), each image's position in the images that it was sampled from; by default 0 to n − 1.
        files: the names of the images' files; empty if they are not in files.

    Raises:
        SaqEvalError: a wrong type or shape, pixels outside [0, 1] or not finite, labels without a class, equal indices,
            or no image at all. The message names the part that is wrong.
    """

    name: str
    split: Split
    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    indices: Tensor
    evidence: Tensor | None = None
    evidence_by: EvidenceBy = "given"
    positions: Tensor | None = None
    foreground: bool | None = None
    files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problem = next(self._problems(), None)
        if problem:
            raise SaqEvalError(f"{self.name} {self.split} set: {problem}")
        if self.positions is None:
            object.__setattr__(self, "positions", torch.arange(len(self.images)))

    def _problems(self) -> Iterator[str]:
        """Yield what is wrong. Only the first problem counts: later checks rely on the earlier ones."""
        images, evidence = self.images, self.evidence
        if not isinstance(images, Tensor) or images.dtype != torch.float32 or images.dim() != 4:
            yield f"images are a float32 tensor (n, channels, height, width), not {kind_of(images)}"
        if not images.numel():
            yield f"there are no images: their shape is {tuple(images.shape)}"
        low, high = (float(bound) for bound in images.aminmax())  # one pass; NaN if any pixel is NaN
        if not (low >= 0 and high <= 1):
            yield outside(low, high)
        yield from label_problems(self, len(images))
        if self.positions is not None and not is_int64(self.positions, len(images)):
            yield f"positions are an int64 tensor ({len(images)},), one per image, not {kind_of(self.positions)}"
        shape = (len(images), 1, *images.shape[2:])
        if evidence is not None and (
            not isinstance(evidence, Tensor) or evidence.dtype != torch.bool or evidence.shape != shape
        ):
            yield f"evidence is a bool tensor {shape}, not {kind_of(evidence)}"
        if self.evidence_by not in ("known", "given"):
            yield f"evidence_by is 'known' or 'given', not {self.evidence_by!r}"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @property
    def fingerprint(self) -> str:
        parts = [self.images, self.labels, self.indices] + ([] if self.evidence is None else [self.evidence])
        return digest_of(*parts, *self.class_names)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.images.shape[1:]))
        return f"Dataset({self.name} {self.split}: {len(self)} images {shape}, {len(self.class_names)} classes)"

    def __getitem__(self, position: int) -> Item:
        label = int(self.labels[position])
        return Item(self.images[position], label, self.class_names[label], self._mask(position))

    def __iter__(self) -> Iterator[Item]:
        return (self[position] for position in range(len(self)))

    def read(self, positions: Sequence[int] | np.ndarray | Tensor) -> Tensor:
        return self.images[torch.as_tensor(positions)]

    def read_evidence(self, positions: Sequence[int] | np.ndarray | Tensor) -> Tensor | None:
        return None if self.evidence is None else self.evidence[torch.as_tensor(positions)]

    def file_names(self, positions: Sequence[int] | np.ndarray | Tensor) -> list[str]:
        return [self.files[int(position)] for position in positions] if self.files else []

    def in_memory(self) -> Dataset:
        return self

    def masks(self) -> Tensor:
        """Return where the evidence for the label is: bool (n, 1, height, width).

        If the dataset has no evidence, the object in the image may be used instead (see `foreground`). An image whose
        evidence is empty, or in which no object is found, has an empty mask. Localisation is not scored on it.
        """
        return torch.stack([self._mask(position) for position in range(len(self))])

    def _mask(self, position: int) -> Tensor:
        if self.evidence is not None:
            return self.evidence[position]
        image = self.images[position]
        return foreground_mask(image) if self._masks_by() == "Otsu" else torch.zeros_like(image[:1], dtype=torch.bool)

    def _masks_by(self) -> Literal["known", "given", "Otsu", "colour", "not asked for"]:
        return mask_source(None if self.evidence is None else self.evidence_by, self.foreground, self.images.shape[1])

    def mask_record(self) -> MaskRecord:
        """Return the source of the masks and the number of images with a mask; see `masks.mask_record`."""
        return mask_record(self.masks(), self._masks_by())

    def subset(self, positions: Sequence[int] | np.ndarray | Tensor) -> Dataset:
        chosen = torch.as_tensor(positions)
        assert self.positions is not None  # set when it was made
        return replace(
            self,
            images=self.images[chosen],
            labels=self.labels[chosen],
            indices=self.indices[chosen],
            evidence=None if self.evidence is None else self.evidence[chosen],
            positions=self.positions[chosen],
            files=tuple(self.file_names(chosen)),
        )

    def with_classes(self, names: Sequence[str]) -> Dataset:
        labels = match_labels(f"{self.name} {self.split} set", self.labels, self.class_names, names)
        return replace(self, labels=labels, class_names=tuple(names))


def stratified(labels: Tensor, count: int, seed: int) -> Tensor:
    """Return `count` positions, int64, in increasing order, drawn from each class in proportion to its size."""
    # Each class gets the whole part of its share.
    # The classes with the largest remainders get one more image each.
    classes, sizes = np.unique(labels.numpy(), return_counts=True)
    shares = sizes * count / len(labels)
    counts = np.floor(shares).astype(int)
    counts[np.argsort(counts - shares, kind="stable")[: count - counts.sum()]] += 1
    rng = np.random.default_rng(seed)
    members = (np.flatnonzero(labels.numpy() == label) for label in classes)
    chosen = [rng.choice(m, size, replace=False) for m, size in zip(members, counts, strict=True)]
    return torch.from_numpy(np.sort(np.concatenate(chosen)))


def digest_of(*parts: Tensor | str) -> str:
    """Return a hash of tensors' types, shapes and contents, and of texts: 32 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, Tensor):
            digest.update(f"{part.dtype} {tuple(part.shape)}\0".encode())
            digest.update(part.detach().cpu().contiguous().numpy().view(np.uint8).data)
        else:
            digest.update(f"{part}\0".encode(errors="surrogatepass"))  # a folder's name may hold any bytes
    return digest.hexdigest()


def grey_dataset(name: str, split: Split, images: Tensor, labels: Tensor, class_names: tuple[str, ...]) -> Dataset:
    """Make a dataset of 8-bit grey images.

    Args:
        name, split, class_names: as in `Dataset`.
        images: uint8 (n, height, width).
        labels: integers (n,), class indices.
    """
    pixels = images.to(torch.float32).div(255).unsqueeze(1)
    return Dataset(name, split, pixels, labels.to(torch.int64), class_names, torch.arange(len(labels)))
