"""Preprocessing of pixels, as a layer in front of a network, so that saliency maps are over pixels in [0, 1]."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from pydantic import ConfigDict
from torch import Tensor, nn

from saq_eval.core.errors import SaqEvalError
from saq_eval.networks.modules import channels_last


@dataclass(frozen=True)
class Preprocessing:
    """The normalisation of pixels in [0, 1] before a network reads them: (pixel − mean) / std, per channel."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        finite = all(math.isfinite(number) for number in (*self.mean, *self.std))
        if len(self.mean) != len(self.std) or not self.mean or not finite or not all(s > 0 for s in self.std):
            raise SaqEvalError("mean and std have one finite number per channel, and every std is above 0")

    @property
    def is_identity(self) -> bool:
        return not any(self.mean) and all(s == 1 for s in self.std)


class Normalize(nn.Module):
    """A layer that computes (x − mean) / std per channel: float32 (n, c, h, w) -> same shape."""

    mean: Tensor
    std: Tensor

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(preprocessing.mean).reshape(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(preprocessing.std).reshape(-1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


def with_preprocessing(network: nn.Module, preprocessing: Preprocessing) -> nn.Module:
    """Return a network that reads pixels in [0, 1], float32 (n, c, h, w).

    This changes the memory format of the weights of `network` itself to channels last, which halves the time of
    convolutions. If other code uses the network too, pass a copy.
    """
    network = channels_last(network)
    return network if preprocessing.is_identity else nn.Sequential(Normalize(preprocessing), network).eval()
