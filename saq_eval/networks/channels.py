"""Grey images for a network that reads colour images, and the reverse: a layer in front of the network."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor, nn

from saq_eval.core.errors import ordinary_errors
from saq_eval.networks.modules import contiguous
from saq_eval.networks.preprocessing import Normalize

_LUMA = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601), as in Pillow's mode "L"


class Channels(nn.Module):
    """A layer that turns grey images into colour images, or colour images into grey ones: float (n, c, h, w) -> (n, 4 − c, h, w).

    A grey channel is repeated three times. The channels of a colour image are summed by their luma. The weights of a pixel
    sum to 1 in one case and are 1 in the other, so the plain gradient passes relevance on without loss.

    Args:
        given: the images' channels, 1 or 3.
    """

    weight: Tensor

    def __init__(self, given: int) -> None:
        super().__init__()
        weight = torch.ones(3, 1) if given == 1 else torch.tensor([_LUMA])
        self.register_buffer("weight", weight[:, :, None, None], persistent=False)
        self.how = (
            "grey images are read as colour images, their channel repeated three times"
            if given == 1
            else "colour images are read as grey images, by their luma (ITU-R BT.601)"
        )

    def forward(self, x: Tensor) -> Tensor:
        return (x.unsqueeze(1) * self.weight).sum(dim=2)


def channels_for(network: nn.Module, image: Tensor) -> Channels | None:
    """Return the layer that has to be put before a network so that it reads images of such channels.

    How many channels the network reads is found by trying, since no layer of an unknown network tells.

    Args:
        network: a private network, which pixels in [0, 1] are given to. If it reads neither form, its weights are laid out
            contiguously, in place, and both are tried again.
        image: floating point (1, c, h, w).

    Returns:
        `None` if the network reads the image as it is, if it reads neither form, or if the image has neither one channel nor
        three.
    """
    if image.shape[1] not in (1, 3):
        return None
    layer = Channels(image.shape[1]).to(image)
    for tried in (lambda: network, lambda: contiguous(network)):
        candidate = tried()
        if _reads(candidate, image):
            return None
        if _reads(candidate, layer(image)):
            return layer
    return None


def _reads(network: nn.Module, image: Tensor) -> bool:
    first = network[0] if isinstance(network, nn.Sequential) and len(network) else None
    if isinstance(first, Normalize) and first.mean.numel() not in (1, image.shape[1]):
        return False  # three means would turn a grey image into a colour one without a word
    with contextlib.suppress(Exception), ordinary_errors():  # a user's network may raise anything
        network(image)
        return True
    return False
