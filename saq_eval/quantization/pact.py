"""PACT: activations with a learned clip (Choi et al. 2018, arXiv 1805.06085), and its signed form."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from saq_eval.quantization.stated import StatesBits


class _Saved(Protocol):
    """What backward passes read from their context, which torch's annotation of it lacks."""

    saved_tensors: tuple[Tensor, Tensor]


class _PACT(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, alpha: Tensor, levels: int) -> Tensor:
        ctx.save_for_backward(x, alpha)
        return (x * (levels / alpha)).clamp_(0, levels).round_().mul_(alpha / levels)

    @staticmethod
    @once_differentiable
    def backward(ctx: _Saved, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, alpha = ctx.saved_tensors
        # Torch's own kernels for the two regions are several times faster than masks. They compare with >,
        # so "x >= alpha" is computed as "x > the largest float below alpha".
        below = torch.nextafter(alpha, torch.zeros_like(alpha)).item()
        inside = torch.ops.aten.hardtanh_backward(grad, x, 0.0, alpha.item())
        clipped = torch.ops.aten.threshold_backward(grad, x, below)
        return inside, clipped.sum().reshape(alpha.shape), None


class PACTActivation(StatesBits, nn.ReLU):
    """y = round(clip(x, 0, α) · (2^k − 1) / α) · α / (2^k − 1), with learned α (PACT, equations 1–2).

    Gradients are straight-through (equation 3): dy/dx is 1 on 0 < x < α and 0 elsewhere; dy/dα is 1
    where x ≥ α and 0 elsewhere. At x = 0 the slope is 0, as for `nn.ReLU`. The class is a subclass of
    `nn.ReLU`, so that attribution libraries treat it as a rectifier.

    Attributes:
        bits: k, the bit width of the output, which has at most 2^k distinct values.
        alpha: float32 (), the clip; its start value is 10 in the paper.
    """

    def __init__(self, bits: int, alpha: float = 10.0) -> None:
        super().__init__(bits)
        self.alpha = nn.Parameter(torch.tensor(float(alpha)))

    def forward(self, x: Tensor) -> Tensor:
        return _PACT.apply(x, self.alpha, 2**self.bits - 1)

    def extra_repr(self) -> str:
        return f"bits={self.bits}, alpha={self.alpha.item():.4g}"


class _SignedPACT(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, alpha: Tensor, top: int) -> Tensor:
        ctx.save_for_backward(x, alpha)
        return (x * (top / alpha)).clamp_(-top, top).round_().mul_(alpha / top)

    @staticmethod
    @once_differentiable
    def backward(ctx: _Saved, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, alpha = ctx.saved_tensors
        inside = torch.ops.aten.hardtanh_backward(grad, x, -alpha.item(), alpha.item())
        clipped = (grad * ((x >= alpha).to(grad.dtype) - (x <= -alpha).to(grad.dtype))).sum()
        return inside, clipped.reshape(alpha.shape), None


class SignedPACT(StatesBits):
    """y = round(clip(x, −α, α) · (2^(k−1) − 1) / α) · α / (2^(k−1) − 1), with learned α.

    This is PACT for values that do not come from a rectifier, such as the outputs of MobileNetV2's linear
    bottlenecks. Its 2^k − 1 levels are symmetric about zero and include zero. Gradients are straight-through
    as in equation 3 of the paper: dy/dx is 1 on −α < x < α and 0 elsewhere; dy/dα is 1 where x ≥ α, −1
    where x ≤ −α and 0 between.

    Attributes:
        bits: k, at least 2; the bit width of the output.
        alpha: float32 (), the clip.
    """

    def __init__(self, bits: int, alpha: float = 10.0) -> None:
        super().__init__(bits)
        self.alpha = nn.Parameter(torch.tensor(float(alpha)))

    def forward(self, x: Tensor) -> Tensor:
        return _SignedPACT.apply(x, self.alpha, 2 ** (self.bits - 1) - 1)

    def extra_repr(self) -> str:
        return f"bits={self.bits}, alpha={self.alpha.item():.4g}"


ACTIVATION_QUANTIZERS = (PACTActivation, SignedPACT)
