"""DoReFa: levels up to the largest weight."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from saq_eval.quantization.quantizers.base import WIDTHS, WeightQuantizer, per_channel, register_quantizer


@register_quantizer("dorefa", bits=WIDTHS, reference="Zhou et al. 2016, arXiv 1606.06160")
class DoReFa(WeightQuantizer):
    """Levels evenly spaced up to the largest magnitude, after a tanh (Zhou et al. 2016, arXiv 1606.06160, equation 9).

    codes = round((2^k − 1) · (tanh(w) / (2 max|tanh(w)|) + 1/2)). The maximum is over the layer or over
    each output channel, and is a constant in the gradient. The paper maps weights to [−1, 1]. Here
    `range` maps them back to the range of the full-precision weights that the layer started from. So the
    quantized twin starts close to its parent, and an output layer without batch norm keeps the scale of
    its logits.

    Attributes:
        range: float32, () or (out,), the largest magnitude of the full-precision weights; it does not change.
    """

    range: Tensor

    def adopt(self, weight: Tensor) -> Tensor:
        weight = weight.detach()
        self.register_buffer("range", self._largest(weight).to(torch.float32))
        unit = weight / per_channel(self.range, weight).clamp(min=torch.finfo(weight.dtype).tiny)
        return torch.atanh(unit * math.tanh(1.0))  # then tanh of the latent weights is proportional to `weight`

    def scale(self, latent: Tensor) -> Tensor:
        return self.range / (2**self.bits - 1)

    def surrogate(self, latent: Tensor) -> Tensor:
        squashed = torch.tanh(latent)
        # The paper's formula is undefined for a layer of zeros. With any positive maximum, zeros get a middle code.
        largest = self._largest(squashed.detach()).clamp(min=torch.finfo(latent.dtype).tiny)
        return squashed / per_channel(largest, squashed) * per_channel(self.range, squashed)

    def _largest(self, weight: Tensor) -> Tensor:
        return self.per_group(weight, lambda rows: rows.abs().amax(dim=1))
