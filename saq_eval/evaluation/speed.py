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
_ALONE = 1.5  # a process that takes so many times as long as its thread computes on other threads
_WAITS = 20  # a process that takes so little of the whole time waits for something


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
    same: dict[object, list[str]] = {}
    for identity, network in networks.items():
        same.setdefault(_form(network) or identity, []).append(identity)
    filled = images[torch.arange(batch_size) % len(images)].to(device)
    with deterministic(threads=1):
        return [
            _measured(tuple(alike), placed(alike[0]), filled, device, budget / len(same)) for alike in same.values()
        ]


def _form(network: nn.Module) -> object:
    """Return what networks have in common that take as long; `None` for a network without weights of its own."""
    weights = [(name, tuple(value.shape), value.dtype) for name, value in network.named_parameters()]
    layers = tuple((name, type(module)) for name, module in network.named_modules())
    return form_of(network) or ((layers, tuple(weights)) if weights else None)


def _measured(identities: tuple[str, ...], network: nn.Module, images: Tensor, device: str, budget: float) -> Speed:
    one = images[:1]
    outputs = _forward(network, one).shape[1]  # the first pass of a network takes longer than others
    graded = gradient_reaches(*_with_graph(network, one))
    passes: list[Callable[[nn.Module, Tensor], object]] = [_forward, *([_backward] if graded else [])]
    alone = sum(_fastest(each, network, one, device, 1) for each in passes)
    count = max(1, min(len(images), int(budget / max(alone, 1e-6) / 2)))
    repeats = max(1, min(_REPEATS, int(budget / (alone * count))))
    some = images[:count]
    forward, backward = (
        _fastest(each, network, some, device, repeats) / count if each in passes else math.nan
        for each in (_forward, _backward)
    )
    return Speed(identities, count, forward, backward, outputs)


def _fastest(
    each: Callable[[nn.Module, Tensor], object],
    network: nn.Module,
    images: Tensor,
    device: str,
    repeats: int,
) -> float:
    return min(seconds_of(lambda: each(network, images), device) for _ in range(repeats))


def seconds_of(call: Callable[[], object], device: str) -> float:
    """Return how long a call takes. On a processor, what others compute meanwhile does not count.

    Args:
        device: the device that is timed; what it still computes is waited for.
    """
    if device != "cpu":
        torch.cuda.synchronize()
    whole, process, own = time.perf_counter(), time.process_time(), time.thread_time()
    call()
    if device != "cpu":
        torch.cuda.synchronize()
        return time.perf_counter() - whole
    own, process, whole = time.thread_time() - own, time.process_time() - process, time.perf_counter() - whole
    # A network that computes on other threads, or waits for another machine, takes the whole time.
    return own if process < _ALONE * own and whole < _WAITS * process else whole


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
