"""The geometry of images: resizing and cutting, the same for pictures, masks and boxes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import ConfigDict
from torch import Tensor

from saq_eval.core.errors import SaqEvalError, check_choice, in_short

Interpolation = Literal["bilinear", "bicubic"]
Resized = Literal["shorter", "both"]
Box = tuple[float, float, float, float]

MOST_SIDE = 4096  # of images, in pixels
_BOXES_AT_ONCE = 1024
_MOST_RESIZED = 2**26  # pixels of a picture that is resized, before it is cut


@dataclass(frozen=True)
class Geometry:
    """Resize a picture, then cut a square from the centre, as torchvision's `Resize` and `CenterCrop` do.

    Attributes:
        size: the side after resizing, in pixels; `None` does not resize. Resizing is antialiased.
        crop: the side of the square, in pixels; by default `size`.
        interpolation: "bilinear" or "bicubic".
        resized: which side becomes `size`: the "shorter", where the picture keeps its proportions, or "both", where it is
            squeezed into a square (timm's crop mode "squash").

    Raises:
        SaqEvalError: a side that is no whole number from 1 to 4096, neither side, or a square larger than the resized picture.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    size: int | None = None
    crop: int | None = None
    interpolation: Interpolation = "bilinear"
    resized: Resized = "shorter"

    def __post_init__(self) -> None:
        for name, value in (("size", self.size), ("crop", self.crop)):
            if value is not None and (type(value) is not int or not 1 <= value <= MOST_SIDE):
                raise SaqEvalError(f"{name} is a whole number of pixels from 1 to {MOST_SIDE}, not {in_short(value)}")
        if self.size is None and self.crop is None:
            raise SaqEvalError("a geometry has a size, a crop or both: name the side of the images in pixels")
        if self.size is not None and self.crop is not None and self.crop > self.size:
            raise SaqEvalError(f"crop {self.crop} does not fit into size {self.size}: the crop is at most the size")
        check_choice("interpolation", self.interpolation, Interpolation)
        check_choice("resized side", self.resized, Resized)

    @property
    def side(self) -> int:
        """The side of the resulting square, in pixels."""
        side = self.size if self.crop is None else self.crop
        assert side is not None  # one of the two is given
        return side

    def resized_to(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width after resizing, before cutting."""
        if self.size is None:
            return height, width
        if self.resized == "both":
            return self.size, self.size
        if height <= width:
            return self.size, int(self.size * width / height)
        return int(self.size * height / width), self.size

    def corner(self, height: int, width: int) -> tuple[int, int]:
        """Return the top and the left of the square, in pixels of the resized picture.

        Raises:
            SaqEvalError: a picture, height × width before resizing, that is smaller than the square, or so long that it
            would have more than 2^26 pixels after resizing.
        """
        across = self.resized_to(height, width)
        if min(across) < self.side:
            raise SaqEvalError(
                f"a crop of {self.side} pixels does not fit into {width}x{height}: give --size too, which resizes first"
            )
        if math.prod(across) > _MOST_RESIZED:
            raise SaqEvalError(
                f"a picture of {width}x{height} pixels is too long: with its shorter side resized to {self.size}, it has "
                f"{across[1]}x{across[0]}; cut it, or give a smaller --size"
            )
        top, left = (round((length - self.side) / 2.0) for length in across)
        return top, left

    def of_picture(self, picture: Image.Image) -> Image.Image:
        """Return an 8-bit picture resized and cut: to the last bit as torchvision does with a PIL picture."""
        top, left = self.corner(picture.height, picture.width)
        height, width = self.resized_to(picture.height, picture.width)
        if (height, width) != (picture.height, picture.width):
            how = Image.Resampling.BILINEAR if self.interpolation == "bilinear" else Image.Resampling.BICUBIC
            picture = picture.resize((width, height), how)
        return picture.crop((left, top, left + self.side, top + self.side))

    def of_images(self, images: Tensor) -> Tensor:
        """Return images, float (n, c, h, w) in [0, 1], resized and cut, as torchvision does with float tensors.

        Bicubic interpolation overshoots at edges; what leaves [0, 1] is clipped.
        """
        height, width = images.shape[-2:]
        top, left = self.corner(height, width)
        if self.resized_to(height, width) != (height, width):
            images = F.interpolate(images, self.resized_to(height, width), mode=self.interpolation, antialias=True)
            images = images.clamp(0, 1)
        return images[..., top : top + self.side, left : left + self.side]

    def of_masks(self, masks: Tensor) -> Tensor:
        """Return masks, bool (n, 1, h, w), resized to the nearest pixel and cut."""
        height, width = masks.shape[-2:]
        top, left = self.corner(height, width)
        if self.resized_to(height, width) != (height, width):
            masks = F.interpolate(masks.float(), self.resized_to(height, width), mode="nearest-exact") > 0.5
        return masks[..., top : top + self.side, left : left + self.side]

    def of_boxes(self, boxes: Sequence[Box], height: int, width: int) -> list[Box]:
        """Return boxes (left, top, right, bottom) of a picture height × width, in pixels of the square, not rounded."""
        top, left = self.corner(height, width)
        tall, wide = self.resized_to(height, width)
        down, across = tall / height, wide / width
        return [(a * across - left, b * down - top, c * across - left, d * down - top) for a, b, c, d in boxes]


def filled(boxes: Sequence[Box], height: int, width: int) -> Tensor:
    """Return the union of boxes, bool (1, height, width): true on the pixels whose centre lies in a box."""
    rows, columns = (torch.arange(length, dtype=torch.float64) + 0.5 for length in (height, width))
    mask = torch.zeros(height, width, dtype=torch.bool)
    for some in torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4, 1).split(_BOXES_AT_ONCE):
        left, top, right, bottom = some.unbind(dim=1)
        down, across = (rows >= top) & (rows < bottom), (columns >= left) & (columns < right)
        mask |= (down.float().T @ across.float()) > 0  # a pixel is in the union if it is in one box at least
    return mask.unsqueeze(0)
