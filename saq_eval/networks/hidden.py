"""The outputs of a network for images with some of their pixels hidden. Pictures that are equal are passed once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from saq_eval.networks.memory import at_once

Reads = Literal["logits", "probabilities"]


def outputs_with_hidden(
    network: Callable[[Tensor], Tensor],
    images: Tensor,
    filled: Tensor,
    targets: Tensor,
    hidden: Tensor,
    *,
    batch_size: int,
    reads: Reads = "logits",
) -> Tensor:
    """Return the target's logit or probability for pictures of images in which a fill replaces some pixels.

    Whole pixels are hidden, with all their channels. The pictures of all images together fill the batches. Pictures of an
    image that are equal are passed once: hiding a black pixel behind black changes nothing.

    Args:
        network: pixels (b, c, h, w) -> logits (b, classes), on the images' device.
        images: floating point (n, c, h, w).
        filled: as `images`, the pixels that replace those that are hidden (see `saq_eval.data.fills`).
        targets: int64 (n,), the class of each image whose output is read.
        hidden: bool (n, m, h · w): the pixels that are hidden in each of m pictures of an image.
        batch_size: the largest number of pictures that pass through the network at once.
        reads: "logits", or "probabilities" for the softmax of the logits.

    Returns:
        float64 (n, m), on the images' device.
    """
    hidden = hidden & (images != filled).any(dim=1).flatten(1)[:, None]
    numbers, first = _equal_pictures(hidden)
    of_image = first // hidden.shape[1]
    masks = hidden.flatten(0, 1)
    answers = []
    with torch.no_grad():
        for rows, owners in zip(first.split(batch_size), of_image.split(batch_size), strict=True):
            shown = masks[rows].reshape(len(rows), 1, *images.shape[2:])
            logits = network(torch.where(shown, filled[owners], images[owners]))
            chosen = logits.softmax(dim=1) if reads == "probabilities" else logits
            answers.append(chosen.gather(1, targets[owners][:, None])[:, 0].double())
    return torch.cat(answers)[numbers].reshape(hidden.shape[:2])


# A mask takes a byte for each pixel; telling equal masks apart takes an integer for each pixel, twice.
_BYTES_PER_PIXEL = 20
_SHARE = 4  # masks get a quarter of the budget, because the passes of their pictures take memory at the same time


def masks_at_once(pixels: int, most: int) -> int:
    """Return how many pictures of so many pixels, at most `most`, may be given to `outputs_with_hidden` at once."""
    return at_once(_SHARE * _BYTES_PER_PIXEL * pixels, most)


def _equal_pictures(hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Number the different pictures: return the number of each, int64 (n · m,), and the first place of each number.

    Pictures are told apart by a sum of random 64-bit integers over their hidden pixels, and over their image's own. Two
    different pictures have the same sum with a probability of 2⁻⁶⁴.
    """
    images, pictures, pixels = hidden.shape
    draw = torch.Generator().manual_seed(0)
    weights = torch.randint(-(2**63), 2**63 - 1, (pixels + images,), generator=draw).to(hidden.device)
    sums = torch.where(hidden, weights[:pixels], 0).sum(dim=2) + weights[pixels:, None]
    _, numbers = torch.unique(sums.flatten(), return_inverse=True)
    places = torch.arange(images * pictures, device=hidden.device)
    first = torch.full((int(numbers.max()) + 1,), images * pictures, device=hidden.device, dtype=torch.int64)
    return numbers, first.scatter_reduce(0, numbers, places, "amin")
