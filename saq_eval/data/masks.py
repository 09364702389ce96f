"""Where an image shows what decides its label: Otsu's foreground, and a record of which masks there are."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from skimage.filters import threshold_otsu
from torch import Tensor
from typing_extensions import TypedDict

NO_FOREGROUND = "Otsu's threshold finds an object only in a grey picture with a dark border"


def foreground_mask(image: Tensor) -> Tensor:
    """Return where the object is: the pixels brighter than Otsu's threshold (Otsu 1979; scikit-image).

    The threshold finds an object only where a bright object lies on a dark ground. An image counts as such a picture
    if its channels are equal, half of the pixels on its border are darker than 0.2, and two thirds of them do not
    exceed the threshold. The images of MNIST, FashionMNIST and the digits do. On photographs the threshold finds
    light, not objects.

    Args:
        image: float (channels, height, width) in [0, 1].

    Returns:
        bool (1, height, width); all false for any other picture, and for a constant one, which shows no object.
    """
    grey = image[0].numpy()
    nothing = torch.zeros(1, *grey.shape, dtype=torch.bool)
    if not torch.equal(image, image[:1].expand_as(image)):
        return nothing
    threshold = threshold_otsu(grey)
    border = np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
    if np.median(border) >= 0.2 or (border <= threshold).mean() < 2 / 3:
        return nothing
    return torch.from_numpy(grey > threshold).unsqueeze(0)


class MaskRecord(TypedDict):
    """Which images have a mask.

    `kind` says what the masks are, or "none" where no image has one. `images` and `without` count the images with and
    without one. `reason` says why some have none, and is empty where all have one.
    """

    kind: str
    images: int
    without: int
    reason: str


def mask_record(masks: Tensor, source: Literal["known", "given", "Otsu"]) -> MaskRecord:
    """Return which images have a mask.

    Args:
        masks: bool (n, 1, height, width); an empty one is none.
        source: what the masks are: evidence that is "known" by construction or "given" by whoever marked it, or the
            foreground by "Otsu".
    """
    there = int(masks.flatten(1).any(dim=1).sum())
    without = len(masks) - there
    reason = "" if not without else NO_FOREGROUND if source == "Otsu" else "their evidence is empty"
    return {"kind": source if there else "none", "images": there, "without": without, "reason": reason}
