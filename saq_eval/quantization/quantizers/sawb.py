"""SAWB: four levels, placed by two statistics of the weights."""

from __future__ import annotations

import torch
from torch import Tensor

from saq_eval.quantization.quantizers.base import WeightQuantizer, register_quantizer


@register_quantizer("sawb", bits=(2,), reference="Choi et al. 2019, arXiv 1807.06964")
class SAWB(WeightQuantizer):
    """Statistics-aware weight binning for 2 bits (Choi et al. 2019, arXiv 1807.06964, section 3).

    The four levels are ±α and ±α/3 with α = c1 · √E[w²] − c2 · E|w|. The means are over the layer or
    over each output channel, and are computed again at each step. The authors fitted c1 and c2 so that α
    comes close to the α of least squared error, for the usual shapes of weight distributions.
    """

    C1, C2 = 3.12, 2.064

    def scale(self, latent: Tensor) -> Tensor:
        return self.per_group(latent, self._clip).to(torch.float32) / 3

    def _clip(self, rows: Tensor) -> Tensor:
        return self.C1 * rows.square().mean(dim=1).sqrt() - self.C2 * rows.abs().mean(dim=1)
