"""What stands in for the pixels that a method or a metric hides."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from skimage.filters import gaussian
from torch import Tensor

Baseline = Literal["black", "mean", "blur"]


def baseline_images(images: Tensor, baseline: Baseline) -> Tensor:
    """Return the images that show nothing, for images (n, c, h, w).

    Args:
        baseline: "black" (0), "mean" (each image's mean colour) or "blur" (the image under a Gaussian
            of a seventh of its height, 4 pixels of 28, as standard deviation).
    """
    pixels = images.detach()
    if baseline == "black":
        return torch.zeros_like(pixels)
    if baseline == "mean":
        return pixels.mean(dim=(2, 3), keepdim=True).expand_as(pixels).clone()
    sigma = pixels.shape[2] / 7
    blurred = [gaussian(image, sigma=sigma, channel_axis=0, mode="nearest") for image in pixels.cpu().numpy()]
    return torch.from_numpy(np.stack(blurred)).to(pixels)
