"""Networks whose logits of an image depend on the other images of a batch, and how they are read: one image at a time.

Dynamic quantization, as ONNX Runtime and torch do it, takes the scale of the activations from the whole batch. On a device,
where images come one by one, such a network computes other logits than inside a batch. No gradient shows that.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from saq_eval.core.errors import SaqEvalError

ONE_BY_ONE = "images are read one at a time, since the logits of one would depend on the others of its batch"
NO_LAYERS = "the network reads one image at a time, so its layers see no batch"
# Logits may differ by this share of their spread. Two batches of the same size are computed by the same kernels, so rows
# of all networks that read images apart agreed to the last bit (float, static int8, two-bit activations, transformers);
# dynamic quantization changed them by 1e-3 to 1e-2. An image alone is no good reference: other kernels may round another
# way, and a code of two bits that flips for this is a large change.
_SHARE = 1e-4


class NotInBatches(SaqEvalError):
    """The error of a network that has to read images one at a time; it can be read by `OneByOne`."""


class OneByOne(nn.Module):
    """Gives a network one image at a time: (n, c, h, w) -> logits (n, classes).

    Its layers never see the batch, so methods that read the output of a layer cannot explain it.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.eval()

    def forward(self, images: Any) -> Tensor:
        if not isinstance(images, Tensor):  # a symbol of `torch.fx`
            raise SaqEvalError(NO_LAYERS)
        return torch.cat([self.network(image) for image in images.split(1)])


@torch.no_grad()
def check_rows(network: nn.Module, images: Tensor, logits: Tensor) -> None:
    """Raise `NotInBatches` if the logits of an image depend on the other images of its batch.

    Each image is passed again in a batch that holds nothing else.

    Args:
        network: a private network.
        images: (n, c, h, w), different images.
        logits: (n, classes), those of a pass of all images.
    """
    for place in range(len(images)):
        own = network(images[place : place + 1].repeat(len(images), 1, 1, 1))[place]
        if (own - logits[place]).abs().max() > _SHARE * (own.max() - own.min()):
            raise NotInBatches(
                "the network mixes the images of a batch: the logits of one image depend on the others, as by dynamic "
                "quantization, whose scale is that of the whole batch"
            )
