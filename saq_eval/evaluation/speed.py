"""How fast networks pass images on this machine, measured within seconds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from saq_eval.core.randomness import deterministic
from saq_eval.networks.fingerprint import form_of
from saq_eval.networks.private import gradient_reaches

BUDGET = 4.0  # seconds for all networks; each is measured by one pass at least
_REPEATS = 10  # the fastest counts, since others may use the machine too


@dataclass(frozen=True)
class Speed:
    """How fast networks of one form pass images, on one thread of a processor or on the device.

    Attributes:
        networks: the identities of the networks, of which the first was measured.
        images: the number of images that passed at once.
        forward: seconds for an image, forward alone.
        backward: seconds for an image, forward and backward; NaN if no gradient reaches the image.
        outputs: the number of the network's outputs.
    """

    networks: tuple[str, ...]
    images: int
    forward: float
    backward: float
    outputs: int


def measure_speeds(
    networks: Mapping[str, nn.Module],
    placed: Callable[[str], nn.Module],
    images: Tensor,
    batch_size: int,
    device: str,
    *,
    budget: float = BUDGET,
) -> list[Speed]:
    """Measure how fast each form of network passes images.

    Args:
        networks: by identity. Of those that differ in their weights alone, one is measured.
        placed: returns a network on the device, by its identity.
        images: float32 (n, c, h, w); they are repeated if there are fewer than pass at once.
        batch_size: the largest number of images that pass at once. Fewer do through a slow network.
        device: the device's name.
        budget: about how many seconds this may take.
    """
    same: dict[str, list[str]] = {}
    for identity, network in networks.items():
        same.setdefault(form_of(network) or identity, []).append(identity)
    filled = images[torch.arange(batch_size) % len(images)].to(device)
    with deterministic(threads=1):
        return [
            _measured(
                tuple(alike), placed(alike[0]), filled, clock_of(device, traced=form != alike[0]), budget / len(same)
            )
            for form, alike in same.items()
        ]


def _measured(
    identities: tuple[str, ...], network: nn.Module, images: Tensor, seconds: Callable[[], float], budget: float
) -> Speed:
    one = images[:1]
    outputs = _forward(network, one).shape[1]  # the first pass of a network takes longer than others
    graded = gradient_reaches(*_with_graph(network, one))
    passes: list[Callable[[nn.Module, Tensor], object]] = [_forward, *([_backward] if graded else [])]
    alone = sum(_fastest(each, network, one, seconds, 1) for each in passes)
    count = max(1, min(len(images), int(budget / max(alone, 1e-6) / 2)))
    repeats = max(1, min(_REPEATS, int(budget / (alone * count))))
    some = images[:count]
    forward, backward = (
        _fastest(each, network, some, seconds, repeats) / count if each in passes else math.nan
        for each in (_forward, _backward)
    )
    return Speed(identities, count, forward, backward, outputs)


def _fastest(
    each: Callable[[nn.Module, Tensor], object],
    network: nn.Module,
    images: Tensor,
    seconds: Callable[[], float],
    repeats: int,
) -> float:
    took = []
    for _ in range(repeats):
        start = seconds()
        each(network, images)
        took.append(seconds() - start)
    return min(took)


def clock_of(device: str, *, traced: bool = True) -> Callable[[], float]:
    """Return a clock, in seconds. For torch on a processor it is this thread's own: what others compute meanwhile does not count.

    Args:
        device: the device that is timed; what it still computes is waited for.
        traced: whether all that is computed is known to be torch's, and not, say, ONNX Runtime's on other threads.
    """
    if device == "cpu":
        return time.thread_time if traced else time.perf_counter

    def waiting() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return waiting


def _forward(network: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return network(images)


def _with_graph(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    leaf = images.detach().clone().requires_grad_()
    with torch.enable_grad():
        return network(leaf), leaf


def _backward(network: nn.Module, images: Tensor) -> Tensor:
    logits, leaf = _with_graph(network, images)
    (gradient,) = torch.autograd.grad(logits[:, 0].sum(), leaf)
    return gradient
