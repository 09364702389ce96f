"""What is wrong with labelled images, in words: their labels, classes, indices and pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from saq_eval.core.errors import in_short

if TYPE_CHECKING:
    from saq_eval.data.images import Images


def label_problems(images: Images, count: int) -> Iterator[str]:
    """Yield what is wrong with the split, the labels, the classes and the indices of `count` images."""
    if images.split not in ("train", "test"):
        yield f"the split is 'train' or 'test', not {images.split!r}"
    for name, values in (("labels", images.labels), ("indices", images.indices)):
        if not is_int64(values, count):
            yield f"{name} are an int64 tensor ({count},), one per image, not {kind_of(values)}"
    names: Sequence[str] = images.class_names
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        yield f"class_names are texts, not {in_short(names)}"
    lowest, highest = int(images.labels.min()), int(images.labels.max())
    if lowest < 0 or highest >= len(names):
        yield (
            f"labels lie between 0 and {len(names) - 1}, the last of {len(names)} classes, "
            f"not between {lowest} and {highest}"
        )
    if len(images.indices.unique()) != count:
        yield "two images have the same index, from which random methods draw their noise"


def outside(low: float, high: float) -> str:
    """Return the sentence for pixels that are not all in [0, 1]."""
    hint = "; divide by 255" if low >= 0 and 1 < high <= 255 else ""
    return f"pixels lie in [0, 1], not between {low:g} and {high:g}{hint}"


def is_int64(values: Any, count: int) -> bool:
    """Return whether values are an int64 tensor (count,)."""
    return isinstance(values, Tensor) and values.dtype == torch.int64 and values.shape == (count,)


def kind_of(value: Any) -> str:
    """Return a tensor's type and shape, or another value in short, for a message."""
    return f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else in_short(value)
