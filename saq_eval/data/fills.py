"""Fills: the values that a method or a metric puts in place of hidden pixels.

The literature often calls a fill a baseline. In this package, a baseline is the network that others are compared with.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from skimage.filters import gaussian
from torch import Tensor

Fill = Literal["black", "mean", "blur"]


def fill_images(images: Tensor, fill: Fill) -> Tensor:
    """Return the pixels that replace the images' pixels when these are hidden.

    Args:
        images: floating point (n, c, h, w).
        fill: "black" (0), "mean" (each image's mean colour) or "blur" (the image blurred by a Gaussian
            whose standard deviation is a seventh of the height: 4 pixels of 28).

    Returns:
        A tensor with the images' shape, type and device.
    """
    pixels = images.detach()
    if fill == "black":
        return torch.zeros_like(pixels)
    if fill == "mean":
        return pixels.mean(dim=(2, 3), keepdim=True).expand_as(pixels).clone()
    sigma = pixels.shape[2] / 7
    blurred = [gaussian(image, sigma=sigma, channel_axis=0, mode="nearest") for image in pixels.cpu().numpy()]
    return torch.from_numpy(np.stack(blurred)).to(pixels)
