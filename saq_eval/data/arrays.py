"""Images in an array, which is converted part by part when it is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saq_eval.core.errors import SaqEvalError, in_short
from saq_eval.data.checks import outside
from saq_eval.data.classes import numbered
from saq_eval.data.geometry import Geometry
from saq_eval.data.images import Split, digest_of
from saq_eval.data.lazy import LazyImages, Shape, Source

_AT_ONCE = 1024  # images that are looked at in one go


class ArraySource(Source):
    """An array of images; it is neither changed nor copied whole.

    Attributes:
        pixels: uint8, or float in [0, 1]: (n, h, w), (n, c, h, w) with c = 1 or 3, or (n, h, w, c).
        channels_last: whether the channels are the last axis.
    """

    def __init__(self, pixels: np.ndarray | Tensor) -> None:
        shape = tuple(pixels.shape)
        if len(shape) not in (3, 4) or 0 in shape or (len(shape) == 4 and not {1, 3} & {shape[1], shape[3]}):
            raise SaqEvalError(
                f"an array of images is (n, h, w), (n, c, h, w) or (n, h, w, c) with 1 or 3 channels, not {shape}"
            )
        self.pixels = pixels
        self.channels_last = len(shape) == 4 and shape[1] not in (1, 3)
        self.checkable = False
        self._check_values()

    def _check_values(self) -> None:
        kind = self.pixels.dtype
        if kind in (torch.uint8, np.uint8):
            return
        if not (kind.is_floating_point if isinstance(kind, torch.dtype) else np.issubdtype(kind, np.floating)):
            raise SaqEvalError(f"an array of images is uint8, or float in [0, 1], not {kind}")
        for start in range(0, len(self.pixels), _AT_ONCE):
            low, high = (float(bound) for bound in self._part(slice(start, start + _AT_ONCE)).aminmax())
            if not (low >= 0 and high <= 1):
                raise SaqEvalError(f"an array of images: {outside(low, high)}")

    def _part(self, which: slice | list[int]) -> Tensor:
        part = self.pixels[which]
        return part.detach().cpu() if isinstance(part, Tensor) else torch.from_numpy(np.array(part))

    def shape(self, place: int) -> Shape:
        shape = tuple(self.pixels.shape[1:])
        if len(shape) == 2:
            return 1, shape[0], shape[1]
        return (shape[2], shape[0], shape[1]) if self.channels_last else (shape[0], shape[1], shape[2])

    def read(self, places: Sequence[int], geometry: Geometry | None) -> Iterable[Tensor]:
        pixels = self._part(list(places))
        if pixels.dim() == 3:
            pixels = pixels.unsqueeze(1)
        elif self.channels_last:
            pixels = pixels.permute(0, 3, 1, 2)
        images = pixels.to(torch.float32)
        images = (images.div(255) if pixels.dtype == torch.uint8 else images).contiguous()
        return images if geometry is None else geometry.of_images(images)

    def digest(self, places: Sequence[int]) -> str:
        starts = range(0, len(places), _AT_ONCE)
        return digest_of(*(self._part(list(places[start : start + _AT_ONCE])) for start in starts))


def array_images(
    name: str, split: Split, pixels: Any, labels: Any, class_names: Sequence[str] | None = None
) -> LazyImages:
    """Make images of an array and labels.

    Args:
        pixels: see `ArraySource`.
        labels: whole numbers (n,), class indices.
        class_names: one name per class index; by default "0", "1", …

    Raises:
        SaqEvalError: an array of another kind or shape, pixels outside [0, 1], or labels that do not fit.
    """
    if not isinstance(pixels, (np.ndarray, Tensor)):
        raise SaqEvalError(f"images are an array or a tensor, not {in_short(pixels)}")
    whole = as_labels(labels)
    if whole.shape != (len(pixels),):
        raise SaqEvalError(
            f"there are {len(pixels)} images and labels of the shape {tuple(whole.shape)}: give one for each"
        )
    names = numbered(whole) if class_names is None else tuple(class_names)
    return LazyImages(name, split, whole, names, torch.arange(len(whole)), ArraySource(pixels))


def as_labels(labels: Any) -> Tensor:
    """Return labels as int64; raises `SaqEvalError` for labels that are no whole numbers."""
    try:
        given = labels.detach().cpu() if isinstance(labels, Tensor) else torch.from_numpy(np.array(labels))
    except (TypeError, ValueError) as error:
        raise SaqEvalError(f"labels are whole numbers, not {in_short(labels)}") from error
    if given.is_floating_point() or given.is_complex() or given.dtype == torch.bool:
        raise SaqEvalError(f"labels are whole numbers, the positions of classes, not {given.dtype}")
    return given.to(torch.int64)
