"""What a method or a metric puts in place of the pixels that it hides.

It is called a fill. A baseline, here, is the network that others are compared with.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from skimage.filters import gaussian
from torch import Tensor

Fill = Literal["black", "mean", "blur"]


def fill_images(images: Tensor, fill: Fill) -> Tensor:
    """Return the pixels that stand in for those of images when they are hidden.

    Args:
        images: floating point (n, c, h, w).
        fill: "black" (0), "mean" (each image's mean colour) or "blur" (the image under a Gaussian
            of a seventh of its height, 4 pixels of 28, as standard deviation).

    Returns:
        As the images: of the same shape, type and device.
    """
    pixels = images.detach()
    if fill == "black":
        return torch.zeros_like(pixels)
    if fill == "mean":
        return pixels.mean(dim=(2, 3), keepdim=True).expand_as(pixels).clone()
    sigma = pixels.shape[2] / 7
    blurred = [gaussian(image, sigma=sigma, channel_axis=0, mode="nearest") for image in pixels.cpu().numpy()]
    return torch.from_numpy(np.stack(blurred)).to(pixels)
