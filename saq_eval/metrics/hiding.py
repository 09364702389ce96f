"""Common parts of metrics that hide pixels: what is hidden, how many pixels at once, and the order of tied pixels.

Whole pixels are hidden, with all their channels, since a map has one value per pixel. A metric works on pictures of one
channel, which say which pixels are shown. A `MaskedNetwork` turns such a picture into an image and classifies it. So
the metric counts, draws, sorts and adds up whole pixels.
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
from saq_eval.metrics.base import Shape, Task, compute_alone


class MaskedNetwork(nn.Module):
    """A network that reads which pixels of fixed images are shown (1) or hidden (0): (n, 1, h, w) -> logits (n, classes).

    Args:
        network: pixels (n, c, h, w) -> logits (n, classes).
        images: float32 (n, c, h, w), one image for each row of a call, in this order; or one image (1, c, h, w) for all
            rows.
        fill: the fill that replaces hidden pixels.
        device: the network's device.
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
    """A network that first turns images by 180°."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images.flip(2, 3))


def mean_of_both_orders(score: Callable[[Task], np.ndarray], task: Task, which: np.ndarray) -> np.ndarray:
    """Score images, some of them by the mean over two opposite orders of tied pixels.

    The two scores of the mean are the usual score, and the score after image, network, map and mask have been turned by
    180°. Turning everything does not change their mean.

    Args:
        score: task -> (n,) or (n, steps); it breaks ties by position and computes no further maps.
        which: bool (n,), the images that are scored by the mean. For the other images, the order of tied pixels must
            not change the score.
    """
    scores = score(task)
    if which.any():
        turned = dataclasses.replace(
            task,
            network=_Turned(task.network),
            compiled=None,
            shared=compute_alone,  # the shared arrays are those of upright images
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
    """Tell for which maps the order of tied pixels may change the pictures that a network reads: bool (n,).

    Args:
        maps: (n, h, w).
        changeable: bool (n, h, w), the pixels that change when they are hidden; `None` for all pixels. The order of the
            others, such as black pixels under a black fill, does not matter.
    """
    flat = maps.reshape(len(maps), -1)
    order = np.argsort(flat, axis=1, kind="stable")
    same = np.diff(np.take_along_axis(flat, order, axis=1), axis=1) == 0
    tied = np.pad(same, ((0, 0), (1, 0))) | np.pad(same, ((0, 0), (0, 1)))
    if changeable is not None:
        tied &= np.take_along_axis(changeable.reshape(len(maps), -1), order, axis=1)
    return tied.any(axis=1)


def changeable(images: np.ndarray, fill: Fill) -> np.ndarray:
    """Return which pixels of images (n, c, h, w) change when the fill replaces them: bool (n, h, w)."""
    return (images != fill_images(torch.from_numpy(images), fill).numpy()).any(axis=1)


def step_size(shape: Shape, given: int | None, *, steps: int) -> int:
    """Return the number of pixels to hide at once.

    Args:
        given: the user's choice. Quantus needs a divisor of the number of pixels, and there have to be at least two
            steps. `None` chooses a size that gives `steps` steps or a few more.

    Raises:
        SaqEvalError: if `given` is not such a divisor, or the image has one pixel.
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
        given: the user's choice. It has to be a common divisor of height and width, because Quantus would otherwise hide
            padding, and there have to be at least two patches. `None` chooses a side that gives `across` patches, or a
            few more, along the shorter side.

    Raises:
        SaqEvalError: if `given` is not such a divisor, or the image has one pixel.
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
