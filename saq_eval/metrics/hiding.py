"""What metrics that hide pixels have in common: what they hide, how many at once, and in which order tied ones.

Whole pixels are hidden, with all their channels, since a map has one value per pixel. So a metric sees pictures of one
channel that say which pixels are shown, and a network that puts the images' pixels there (`MaskedNetwork`): whatever
the metric counts, draws, sorts or adds up is pixels.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from saq_eval.core.errors import SaqEvalError
from saq_eval.data.fills import Fill, fill_images
from saq_eval.metrics.base import Shape, Task


class MaskedNetwork(nn.Module):
    """A network as a function of which pixels of some images are shown: (n, 1, h, w), 1 or 0 -> logits (n, classes).

    Args:
        network: pixels (n, c, h, w) -> logits (n, classes).
        images: float32 (n, c, h, w), of which each call shows pixels, in this order; or one image (1, c, h, w) for all.
        fill: what is in place of hidden pixels.
        device: where the network is.
    """

    images: Tensor
    fill: Tensor

    def __init__(self, network: nn.Module, images: np.ndarray, fill: Fill, device: str) -> None:
        super().__init__()
        pixels = torch.from_numpy(np.ascontiguousarray(images))
        self.network = network
        self.register_buffer("images", pixels.to(device))
        self.register_buffer("fill", fill_images(pixels, fill).to(device))
        self.eval()

    def forward(self, shown: Tensor) -> Tensor:
        return self.network(torch.where(shown.to(self.images.device) > 0.5, self.images, self.fill))


class _Turned(nn.Module):
    """A network that turns images by 180° before it looks at them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images.flip(2, 3))


def mean_of_both_orders(score: Callable[[Task], np.ndarray], task: Task, which: np.ndarray) -> np.ndarray:
    """Score images, some by the mean over two opposite orders of tied pixels.

    Args:
        score: breaks ties by position, and explains nothing anew: task -> (n,) or (n, steps).
        which: bool (n,), the images of which the mean is taken: of the score as it is, and of the score where image,
            network, map and mask are turned by 180°. Turning everything does not change that mean. Of the other
            images the order must not matter.
    """
    scores = score(task)
    if which.any():
        turned = dataclasses.replace(
            task,
            network=_Turned(task.network),
            images=_turned(task.images[which]),
            labels=task.labels[which],
            targets=task.targets[which],
            masks=_turned(task.masks[which]),
            maps=_turned(task.maps[which]),
            baseline_maps=_turned(task.baseline_maps[which]),
            indices=task.indices[which],
        )
        scores[which] = (scores[which] + score(turned)) / 2
    return scores


def _turned(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values[..., ::-1, ::-1])


def order_matters(maps: np.ndarray, changeable: np.ndarray | None = None) -> np.ndarray:
    """Tell for which maps the order of tied pixels may act on what a network is shown: bool (n,).

    Args:
        maps: (n, h, w).
        changeable: bool (n, h, w), the pixels that hiding changes; none for all. It does not matter when the others, such as
            a black ground where black hides, are hidden.
    """
    flat = maps.reshape(len(maps), -1)
    order = np.argsort(flat, axis=1, kind="stable")
    same = np.diff(np.take_along_axis(flat, order, axis=1), axis=1) == 0
    tied = np.pad(same, ((0, 0), (1, 0))) | np.pad(same, ((0, 0), (0, 1)))
    if changeable is not None:
        tied &= np.take_along_axis(changeable.reshape(len(maps), -1), order, axis=1)
    return tied.any(axis=1)


def changeable(images: np.ndarray, fill: Fill) -> np.ndarray:
    """Return which pixels of images, (n, c, h, w), are changed when the fill hides them: bool (n, h, w)."""
    return (images != fill_images(torch.from_numpy(images), fill).numpy()).any(axis=1)


def step_size(shape: Shape, given: int | None, *, steps: int) -> int:
    """Return how many pixels to hide at once.

    Args:
        given: a divisor of the number of pixels, as Quantus wants it, which leaves two steps or more; none to be
            done in `steps` or a few more.

    Raises:
        SaqEvalError: it is no such divisor, or the image has one pixel.
    """
    pixels = _pixels(shape)
    divisors = [size for size in range(1, pixels // 2 + 1) if pixels % size == 0]
    if given is not None and given not in divisors:
        near = sorted(divisors, key=lambda size: abs(size - given))[:2]
        raise SaqEvalError(
            f"features_in_step={given} does not divide the {pixels} pixels of a {shape[1]}x{shape[2]} image; "
            f"{' or '.join(map(str, near))} would"
        )
    return given or max(size for size in divisors if size <= max(1, pixels // steps))


def patch_side(shape: Shape, given: int | None, *, across: int) -> int:
    """Return the side of square patches, in pixels.

    Args:
        given: a common divisor of height and width, since Quantus hides the padding otherwise, that leaves two patches
            or more; none for at most `across` patches, or a few more, along the shorter side.

    Raises:
        SaqEvalError: it is no such divisor, or the image has one pixel.
    """
    _pixels(shape)
    side = math.gcd(*shape[1:])
    divisors = [size for size in range(1, min(side, max(shape[1:]) // 2) + 1) if side % size == 0]
    if given is not None and given not in divisors:
        raise SaqEvalError(
            f"patch_size={given} does not divide a {shape[1]}x{shape[2]} image; {', '.join(map(str, divisors))} would"
        )
    return given or max(size for size in divisors if size <= max(1, min(shape[1:]) // across))


def _pixels(shape: Shape) -> int:
    pixels = shape[1] * shape[2]
    if pixels < 2:
        raise SaqEvalError("metrics that hide pixels in steps need images of two pixels or more, not 1x1")
    return pixels
