"""Passes of a network compiled by `torch.compile`, for what needs no gradient."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from saq_eval.core.errors import SaqEvalWarning, first_line

# A network is compiled for full batches. A smaller one is filled up, unless it is so small that the network itself, which
# takes about one and a half times as long, is faster.
_FULL_ENOUGH = 2 / 3


class Compiled:
    """A network's logits without gradients: pixels (n, c, h, w) -> logits (n, classes), compiled when it is first called.

    Networks of one form share the compiled code, and torch keeps it in a cache of the user. The logits are those of the
    network up to rounding. Where the network cannot be compiled, a warning says why, and the network itself computes.

    Args:
        network: a network in eval mode; it is not changed.
        batch_size: the largest number of images of a call.
    """

    def __init__(self, network: nn.Module, batch_size: int) -> None:
        self.network, self.batch_size = network, batch_size
        self._compiled = torch.compile(network, dynamic=False)
        self._works = True

    def __call__(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            count = len(images)
            if not self._works or not _FULL_ENOUGH * self.batch_size <= count <= self.batch_size:
                return self.network(images)
            filled = torch.cat([images, images[-1:].expand(self.batch_size - count, *images.shape[1:])])
            try:
                return self._compiled(filled)[:count]
            except Exception as error:  # the compiler may raise anything
                self._works = False
                warnings.warn(f"a network is not compiled: {first_line(error)}", SaqEvalWarning, stacklevel=2)
                return self.network(images)


def why_not_compiled() -> str:
    """Return why networks cannot be compiled on this machine, such as a missing C++ compiler; "" if they can."""
    try:
        torch.compile(lambda values: values + 1, dynamic=False)(torch.zeros(3))
    except Exception as error:  # the compiler may raise anything
        return first_line(error)
    return ""
