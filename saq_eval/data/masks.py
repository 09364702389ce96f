"""Masks of the pixels that decide a label: the foreground by Otsu's threshold, and a record of a dataset's masks."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from skimage.filters import threshold_otsu
from torch import Tensor
from typing_extensions import TypedDict

NO_FOREGROUND = "Otsu's threshold finds an object only in a grey picture with a dark border"
COLOUR = "colour images have no masks unless these are given, since Otsu's threshold assumes a bright object on a dark ground"
NOT_ASKED_FOR = "masks were not asked for"

MaskSource = Literal["known", "given", "Otsu", "colour", "not asked for"]


def mask_source(evidence_by: Literal["known", "given"] | None, foreground: bool | None, channels: int) -> MaskSource:
    """Return what the masks of images are, or why there are none.

    Args:
        evidence_by: what the evidence is; `None` if there is none.
        foreground: whether the foreground stands in for evidence; `None` does so for grey images.
        channels: of an image.
    """
    if evidence_by is not None:
        return evidence_by
    if foreground is None:
        return "Otsu" if channels == 1 else "colour"
    return "Otsu" if foreground else "not asked for"


def foreground_mask(image: Tensor) -> Tensor:
    """Return where the object is: the pixels brighter than Otsu's threshold (Otsu 1979; scikit-image).

    The threshold finds only a bright object on a dark background. An image is taken for such a picture if its channels
    are equal, half of its border pixels are darker than 0.2, and two thirds of its border pixels do not exceed the
    threshold. The images of MNIST, FashionMNIST and the digits are such pictures. On photographs the threshold finds
    light, not objects.

    Args:
        image: float (channels, height, width) in [0, 1].

    Returns:
        bool (1, height, width); all false for any other picture, and for a constant picture, which shows no object.
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
    """The kind and number of the masks.

    `kind` says what the masks are: "known", "given", "Otsu", or "none" if no image has a mask. `images` is the number of
    images with a mask, `without` the number without one. `reason` says why images have no mask; it is empty if all
    have one.
    """

    kind: str
    images: int
    without: int
    reason: str


def mask_record(masks: Tensor, source: MaskSource) -> MaskRecord:
    """Return the kind of the masks, and how many images have one.

    Args:
        masks: bool (n, 1, height, width); an image with an empty mask counts as one without a mask.
        source: what the masks are: evidence "known" by construction, evidence "given" by a person who marked it, or
            the foreground by "Otsu"; or why there are none: "colour" images, or "not asked for".
    """
    there = int(masks.flatten(1).any(dim=1).sum())
    without = len(masks) - there
    reasons: dict[str, str] = {"Otsu": NO_FOREGROUND, "colour": COLOUR, "not asked for": NOT_ASKED_FOR}
    reason = reasons.get(source, "their evidence is empty or was not given") if without else ""
    kind = source if there else "none"
    return {"kind": kind, "images": there, "without": without, "reason": reason}
