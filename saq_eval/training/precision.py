"""The precision that a network trains in: the one that is fast on the processor."""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from saq_eval.core.errors import SaqEvalWarning

Precision = Literal["float32", "bfloat16"]

# bfloat16 rounds more than float32, so it is used only if it saves a fifth of the time.
_WORTH = 1.25
_SLOW = 2.0


@functools.cache
def step_seconds(device: str) -> dict[Precision, float]:
    """Measure the time of a training step in each precision, in seconds, on "cpu" or "cuda", once per process.

    The step is a forward and backward pass of 64 images through two convolutions like those of the zoo's networks.
    Reading the processor's flags would not be enough: a CPU without instructions for bfloat16 can still compute in
    bfloat16, but eight times slower.
    """
    images = torch.ones(64, 16, 28, 28, device=device).to(memory_format=torch.channels_last)
    kernels = [torch.full((32, channels, 3, 3), 0.01, device=device, requires_grad=True) for channels in (16, 32)]

    def step(precision: Precision) -> Callable[[], None]:
        def run() -> None:
            with torch.enable_grad(), torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
                x: Tensor = images
                for kernel in kernels:
                    x = F.relu(F.conv2d(x, kernel, padding=1))
                loss = x.float().mean()
            torch.autograd.grad(loss, kernels)

        return run

    return {precision: _fastest(step(precision), device) for precision in get_args(Precision)}


def _fastest(run: Callable[[], None], device: str, times: int = 4) -> float:
    seconds = []
    for _ in range(times + 1):
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])  # the first run also builds kernels


def fast_precision(device: torch.device) -> Precision:
    """Return the precision that is fast on the processor: "bfloat16" if it saves a fifth of the time, else "float32"."""
    seconds = step_seconds(device.type)
    return "bfloat16" if seconds["float32"] > _WORTH * seconds["bfloat16"] else "float32"


def warn_if_slow(precision: Precision, device: torch.device) -> None:
    """Warn if a step in the requested precision takes at least twice as long as in the other on this processor."""
    seconds = step_seconds(device.type)
    other = min(seconds, key=seconds.__getitem__)
    ratio = seconds[precision] / seconds[other]
    if ratio >= _SLOW:
        warnings.warn(
            f"a training step takes {ratio:.1f} times as long in {precision}, which the recipe names, as in {other} on "
            "this processor; `precision: auto` takes the faster one",
            SaqEvalWarning,
            stacklevel=2,
        )
