"""Labelled images in memory: one split of a dataset, and samples of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from saq_eval.core.errors import SaqEvalError, in_short
from saq_eval.data.masks import MaskRecord, foreground_mask, mask_record

Split = Literal["train", "test"]


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


@dataclass(frozen=True, repr=False)
class Dataset:
    """One split of a dataset, in memory.

    Attributes:
        name: the registered name.
        split: "train" or "test".
        images: float32 (n, channels, height, width) in [0, 1].
        labels: int64 (n,), class indices.
        class_names: one name per class index.
        indices: int64 (n,), each image's position in the full split.
        evidence: bool (n, 1, height, width), true on the pixels that decide the label; `None` if they are not known.
        evidence_by: "known" if the evidence was put into the images on purpose, "given" if somebody marked it in them.

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
    evidence_by: Literal["known", "given"] = "given"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def __post_init__(self) -> None:
        problem = next(self._problems(), None)
        if problem:
            raise SaqEvalError(f"{self.name} {self.split} set: {problem}")

    def _problems(self) -> Iterator[str]:
        """Yield what is wrong. Only the first problem counts: later checks rely on the earlier ones."""
        if self.split not in ("train", "test"):
            yield f"the split is 'train' or 'test', not {self.split!r}"
        images, labels, evidence = self.images, self.labels, self.evidence
        if not isinstance(images, Tensor) or images.dtype != torch.float32 or images.dim() != 4:
            yield f"images are a float32 tensor (n, channels, height, width), not {_kind(images)}"
        if not images.numel():
            yield f"there are no images: their shape is {tuple(images.shape)}"
        low, high = (float(bound) for bound in images.aminmax())  # one pass; NaN if any pixel is NaN
        if not (low >= 0 and high <= 1):
            yield f"pixels lie in [0, 1], not between {low:g} and {high:g}" + (
                "; divide by 255" if low >= 0 and 1 < high <= 255 else ""
            )
        for name, values in (("labels", labels), ("indices", self.indices)):
            if not isinstance(values, Tensor) or values.dtype != torch.int64 or values.shape != images.shape[:1]:
                yield f"{name} are an int64 tensor ({len(images)},), one per image, not {_kind(values)}"
        names: Sequence[str] = self.class_names
        if isinstance(names, str) or not all(isinstance(name, str) for name in names):
            yield f"class_names are texts, not {in_short(names)}"
        lowest, highest = int(labels.min()), int(labels.max())
        if lowest < 0 or highest >= len(names):
            yield (
                f"labels lie between 0 and {len(names) - 1}, the last of {len(names)} classes, "
                f"not between {lowest} and {highest}"
            )
        if len(self.indices.unique()) != len(images):
            yield "two images have the same index, from which random methods draw their noise"
        shape = (len(images), 1, *images.shape[2:])
        if evidence is not None and (
            not isinstance(evidence, Tensor) or evidence.dtype != torch.bool or evidence.shape != shape
        ):
            yield f"evidence is a bool tensor {shape}, not {_kind(evidence)}"
        if self.evidence_by not in ("known", "given"):
            yield f"evidence_by is 'known' or 'given', not {self.evidence_by!r}"

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.images.shape[1:]))
        return f"Dataset({self.name} {self.split}: {len(self)} images {shape}, {len(self.class_names)} classes)"

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, position: int) -> Item:
        label = int(self.labels[position])
        return Item(self.images[position], label, self.class_names[label], self._mask(position))

    def __iter__(self) -> Iterator[Item]:
        return (self[position] for position in range(len(self)))

    def masks(self) -> Tensor:
        """Return where the evidence for the label is: bool (n, 1, height, width).

        If the dataset has no evidence, the object in the image is used instead (see `foreground_mask`). An image whose
        evidence is empty, or in which no object is found, has an empty mask. Localisation is not scored on it.
        """
        return torch.stack([self._mask(position) for position in range(len(self))])

    def _mask(self, position: int) -> Tensor:
        return foreground_mask(self.images[position]) if self.evidence is None else self.evidence[position]

    def mask_record(self) -> MaskRecord:
        """Return the source of the masks and the number of images with a mask; see `masks.mask_record`."""
        return mask_record(self.masks(), "Otsu" if self.evidence is None else self.evidence_by)

    def sample(self, count: int, seed: int) -> Dataset:
        """Return `count` images drawn without replacement, stratified by class, in the split's order.

        Each class's count differs from the class's share of `count` by less than one image.

        Raises:
            SaqEvalError: if `count` is below 1 or above the size of the split.
        """
        if not 1 <= count <= len(self):
            raise SaqEvalError(
                f"samples must lie between 1 and {len(self)}, the size of the {self.name} {self.split} set, not {count}"
            )
        # Each class gets the whole part of its share.
        # The classes with the largest remainders get one more image each.
        classes, sizes = np.unique(self.labels.numpy(), return_counts=True)
        shares = sizes * count / len(self)
        counts = np.floor(shares).astype(int)
        counts[np.argsort(counts - shares, kind="stable")[: count - counts.sum()]] += 1
        rng = np.random.default_rng(seed)
        members = (np.flatnonzero(self.labels.numpy() == label) for label in classes)
        chosen = [rng.choice(m, size, replace=False) for m, size in zip(members, counts, strict=True)]
        return self.subset(np.sort(np.concatenate(chosen)))

    def subset(self, positions: np.ndarray) -> Dataset:
        """Return the images at `positions`, int (m,), in that order."""
        chosen = torch.as_tensor(positions)
        return replace(
            self,
            images=self.images[chosen],
            labels=self.labels[chosen],
            indices=self.indices[chosen],
            evidence=None if self.evidence is None else self.evidence[chosen],
        )


def _kind(value: Any) -> str:
    return f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else in_short(value)


def grey_dataset(name: str, split: Split, images: Tensor, labels: Tensor, class_names: tuple[str, ...]) -> Dataset:
    """Make a dataset of 8-bit grey images.

    Args:
        name, split, class_names: as in `Dataset`.
        images: uint8 (n, height, width).
        labels: integers (n,), class indices.
    """
    pixels = images.to(torch.float32).div(255).unsqueeze(1)
    return Dataset(name, split, pixels, labels.to(torch.int64), class_names, torch.arange(len(labels)))
