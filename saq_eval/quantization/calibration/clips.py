"""The clips of quantized activations, from the distribution of the values that are quantized."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from saq_eval.core.errors import SaqEvalError, in_short

BINS = 8192
CLIPS = 400  # the candidates, from 1/400 of the largest value to the largest value
UNUSED = 1.0  # the clip where no value is above 0, so that any clip gives the same activations


@dataclass(frozen=True)
class ClipRule:
    """How a clip is found.

    Attributes:
        quantile: the clip is this quantile of the values, above 0 and at most 1; `None` for the clip at which the
            quantized values have the least squared error.
    """

    quantile: float | None = None

    @classmethod
    def parse(cls, text: str) -> ClipRule:
        """Read a rule: "mse", or "quantile:q" with 0 < q <= 1; raises `SaqEvalError` for any other text."""
        kind, colon, number = text.partition(":") if isinstance(text, str) else (text, "", "")
        if (kind, colon) == ("mse", ""):
            return cls()
        try:
            quantile = float(number) if kind == "quantile" else math.nan
        except ValueError:
            quantile = math.nan
        if not 0 < quantile <= 1:
            raise SaqEvalError(
                f"a clip is 'mse', or 'quantile:q' with q above 0 and at most 1, such as 'quantile:0.9999', not {in_short(text)}"
            )
        return cls(quantile)

    def clip(self, counts: Tensor, largest: float, zeros: int, levels: int) -> float:
        """Return the clip for a distribution of values.

        Args:
            counts: float64 (bins,), the numbers of values in equal bins from 0 to `largest`.
            largest: the largest value; 0 if none is above 0.
            zeros: the number of values that are 0.
            levels: the number of steps from 0 to the clip, such as 2^k − 1.
        """
        if not largest > 0:
            return UNUSED
        width = largest / len(counts)
        if self.quantile is None:
            centres = (torch.arange(len(counts), dtype=torch.float64, device=counts.device) + 0.5) * width
            return _least_error(counts, centres, largest, levels)
        within = zeros + counts.cumsum(0)
        needed = self.quantile * within[-1]
        return min(largest, (int((within < needed).sum()) + 1) * width)


def _least_error(counts: Tensor, values: Tensor, largest: float, levels: int) -> float:
    clips = torch.linspace(1 / CLIPS, 1, CLIPS, dtype=torch.float64, device=counts.device) * largest
    errors = []
    for some in clips.split(50):
        step = some[:, None] / levels
        quantized = (values / step).round().clamp(max=levels) * step
        errors.append((quantized - values).square() @ counts)
    return float(clips[torch.cat(errors).argmin()])


def find_clip(values: Callable[[], Iterable[Tensor]], rule: ClipRule, levels: int, name: str) -> float:
    """Return the clip of an activation quantizer.

    Args:
        values: gives the values to be quantized, without their sign, in chunks; called twice.
        rule: how the clip is found.
        levels: the number of steps from 0 to the clip.
        name: the quantizer's name, for the message.

    Raises:
        SaqEvalError: if values are not finite.
    """
    largest = 0.0
    for chunk in values():
        if not chunk.isfinite().all():
            raise SaqEvalError(f"the clip of {name} cannot be found: the values that it reads are not finite")
        largest = max(largest, float(chunk.max()))
    counts, zeros = torch.zeros(BINS, dtype=torch.float64), 0
    if largest > 0:
        for chunk in values():
            above = chunk[chunk > 0].float()
            zeros += chunk.numel() - above.numel()
            counts += torch.histc(above, BINS, 0, largest).double().cpu()
    return rule.clip(counts, largest, zeros, levels)
