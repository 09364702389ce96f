"""How many images may pass through a network at once, so that a computation stays within a budget of bytes.

A pass of 64 images of 28x28 takes a few megabytes; of 64 photographs it takes gigabytes. So the number of images in a
pass follows from the bytes that one image takes, which are measured by one pass (`bytes_per_image`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from saq_eval.networks.modules import read_logits
from saq_eval.networks.private import gradient_reaches

# The bytes that the images of one pass may take, and that the copies of images which a method or metric makes may take.
# A process takes about as much, or more, for the libraries and the networks. Smaller parts would save little, and all
# networks of the zoo still get 64 images at once, at 28x28 and at 32x32.
BUDGET = 384 * 2**20

# While a network computes, about so many tensors of the size of its largest exist in addition to those that it keeps:
# gradients, and results of a function before they are used.
_IN_USE = 3
# Methods and metrics hold copies of an image that no network sees: hidden, turned, in double precision. Together they are
# about so many, so an image never takes less, however small the network is.
_COPIES = 32
# For networks through which no gradient reaches the image, nothing can be measured, because torch keeps nothing for the way
# back, or does not compute them at all. ResNets, ConvNeXt and vision transformers take 0.6 to 1.9 KiB per pixel.
_BYTES_PER_PIXEL = 2048


def bytes_per_image(network: nn.Module, image: Tensor) -> int:
    """Return about how many bytes one image takes in a pass forward and backward through a network, weights not counted.

    The tensors that autograd keeps for the backward pass are counted, each memory once, and three more of the size of the
    largest. If no gradient reaches the image, it is an estimate of 2 KiB per pixel.

    Args:
        network: a network in eval mode that has read such an image before; it is not changed.
        image: floating point (1, c, h, w), of the type and on the device that the network reads.
    """
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if _is_plain(tensor):
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # as it is, it would hold the function that computed it, which holds it

    least = _COPIES * image.numel() * image.element_size()
    leaf = image.detach().clone().requires_grad_()
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits: Any = read_logits(network(leaf))
    if not gradient_reaches(logits, leaf):
        return max(least, _BYTES_PER_PIXEL * image.shape[2] * image.shape[3])
    for tensor in (*network.parameters(), *network.buffers()):
        if _is_plain(tensor):
            kept.pop(tensor.untyped_storage().data_ptr(), None)
    return max(least, sum(kept.values()) + _IN_USE * max(kept.values(), default=0))


def _is_plain(tensor: Tensor) -> bool:
    """Tell whether a tensor is numbers in one piece of memory, and not, say, another library's quantized weight."""
    return type(tensor) in (Tensor, nn.Parameter, nn.Buffer) and tensor.layout is torch.strided


def at_once(each: float, most: int) -> int:
    """Return how many things of `each` bytes fit into `BUDGET`: at least 1, and at most `most`."""
    return max(1, min(most, int(BUDGET // max(each, 1))))


def images_at_once(network: nn.Module, image: Tensor, most: int) -> int:
    """Return how many images, at most `most`, may pass through a network at once; see `bytes_per_image`."""
    return at_once(bytes_per_image(network, image), most) if most > 1 else most
