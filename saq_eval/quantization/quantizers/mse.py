"""MSE: evenly spaced levels, scaled so that the squared error of the weights is least."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from saq_eval.quantization.quantizers.base import WIDTHS, WeightQuantizer, register_quantizer


@register_quantizer("mse", bits=WIDTHS, reference="Nagel et al. 2021, arXiv 2106.08295")
class MSE(WeightQuantizer):
    """Levels scaled for the least squared error (Nagel et al. 2021, arXiv 2106.08295, section 3.1).

    For each layer or output channel, the outermost level is first sought among `CLIPS` clips from 3 % of the largest weight
    to the largest weight, in equal ratios, and then among as many around the best of them. Finally the codes for a scale,
    and the scale of least squared error for the codes, are computed in turn, `TURNS` times. No turn makes the error larger.
    A channel of zeros has the scale 0.
    """

    CLIPS, SMALLEST, TURNS = 32, 0.03, 4

    def scale(self, latent: Tensor) -> Tensor:
        return self.per_group(latent, self._search).to(torch.float32)

    def _search(self, rows: Tensor) -> Tensor:
        """Return each row's scale of least squared error; rows (groups, n) -> (groups,)."""
        ratio = self.SMALLEST ** (1 / (self.CLIPS - 1))  # of a clip to the next larger one
        best = rows.abs().amax(dim=1) / (2**self.bits - 1)
        best = self._best(rows, best, [ratio**power for power in range(self.CLIPS)])
        best = self._best(rows, best, torch.linspace(ratio, 1 / ratio, self.CLIPS).tolist())
        for _ in range(self.TURNS):
            odd = self._odd(rows, best)
            best = (odd * rows).sum(dim=1) / odd.square().sum(dim=1)
        return best

    def _best(self, rows: Tensor, scale: Tensor, factors: Sequence[float]) -> Tensor:
        """Return for each row the best of the scales `scale` · factor."""
        best, least = scale, torch.full_like(scale, torch.inf)
        for factor in factors:
            tried = scale * factor
            error = (self._odd(rows, tried) * tried[:, None] - rows).square().sum(dim=1)
            best, least = torch.where(error < least, tried, best), torch.minimum(error, least)
        return best

    def _odd(self, rows: Tensor, scale: Tensor) -> Tensor:
        """Return the odd multiples of `scale` that are nearest to the weights."""
        top = 2**self.bits - 1
        step = 2 * scale[:, None].clamp(min=torch.finfo(rows.dtype).tiny)
        return 2 * torch.round(rows / step + top / 2).clamp(0, top) - top
