"""Rounding weights so that a layer's outputs change least, which is not rounding each to the nearest level."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDEST = 4096  # inputs whose covariance is held as one matrix; a layer with more is rounded in parts
_DAMPING = 0.01  # of the mean variance, as in GPTQ
_SINGLE_PRECISION = 1e-5  # of the largest variance, well above what sums in single precision may be wrong by
_BLOCK = 128
_PATCH_BYTES = 64 * 2**20


def patches_of(layer: nn.Conv2d | nn.Linear, inputs: Tensor) -> Tensor:
    """Return what each of a layer's outputs is computed from: (groups, inputs of an output, outputs' positions)."""
    if isinstance(layer, nn.Linear):
        return inputs.reshape(-1, layer.in_features).t().unsqueeze(0)
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    padded = F.pad(inputs, layer._reversed_padding_repeated_twice, mode=mode)
    columns = F.unfold(padded, layer.kernel_size, layer.dilation, 0, layer.stride)
    grouped = columns.unflatten(1, (layer.groups, -1))
    return grouped.permute(1, 2, 0, 3).flatten(2)


def covariances(layer: nn.Conv2d | nn.Linear, inputs: Iterable[Tensor], *, centred: bool) -> list[Tensor]:
    """Return the covariances of a layer's inputs, for parts of at most `WIDEST` inputs.

    Args:
        inputs: the layer's inputs in chunks.
        centred: whether the mean is subtracted, because the layer has a bias that makes up for it.

    Returns:
        float64 (groups, inputs, inputs) for each part, in order.
    """
    width = layer.weight[0].numel()
    parts = [slice(start, min(start + WIDEST, width)) for start in range(0, width, WIDEST)]
    groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
    sums, count = layer.weight.new_zeros(groups, width, dtype=torch.float64), 0
    products = [sums.new_zeros(groups, part.stop - part.start, part.stop - part.start) for part in parts]
    guess: Tensor | None = None
    for chunk in inputs:
        image_bytes = chunk[0].nbytes * layer.weight[0][0].numel()  # an upper bound: each value is in so many patches
        for images in chunk.split(max(1, _PATCH_BYTES // image_bytes)):
            patches = patches_of(layer, images)
            if centred:
                # Sums of squares of large, nearly equal numbers lose their variance. So a guess of the mean is taken off.
                guess = patches.mean(dim=2, keepdim=True) if guess is None else guess
                patches = patches - guess
            sums += patches.double().sum(dim=2)
            count += patches.shape[2]
            for product, part in zip(products, parts, strict=True):
                some = patches[:, part]
                product += some @ some.transpose(1, 2)
    means = sums / count
    for product, part in zip(products, parts, strict=True):
        product /= count
        if centred:
            product -= means[:, part, None] * means[:, None, part]
    return products


def least_squares_codes(weight: Tensor, scale: Tensor, bits: int, parts: list[Tensor]) -> Tensor:
    """Return codes for which the squared error of a layer's outputs is small (GPTQ, Frantar et al. 2022, arXiv 2210.17323).

    One input after another, in the order of falling variance, its weights are rounded to the nearest level, and the weights
    of the inputs that are left are changed so that they make up for the error as well as they can.

    Args:
        weight: float (out, ...), the weights before rounding.
        scale: float (out,), half a step of each output channel's levels (see `dequantize`).
        bits: k.
        parts: the covariances of the inputs from `covariances`.

    Returns:
        int32 codes from 0 to 2^k − 1, in `weight`'s shape.
    """
    groups = parts[0].shape[0]
    rows = weight.double().reshape(groups, len(weight) // groups, -1)
    step = 2 * scale.double().reshape(groups, -1).clamp(min=torch.finfo(torch.float32).tiny)
    codes, start = [], 0
    for covariance in parts:
        stop = start + covariance.shape[1]
        codes.append(_rounded(rows[:, :, start:stop], step, 2**bits - 1, covariance))
        start = stop
    return torch.cat(codes, dim=2).reshape(weight.shape).to(torch.int32)


def _rounded(rows: Tensor, step: Tensor, top: int, covariance: Tensor) -> Tensor:
    """Return the codes of (groups, out, inputs) weights; see `least_squares_codes`."""
    variance = covariance.diagonal(dim1=1, dim2=2)
    order = variance.argsort(dim=1, descending=True, stable=True)
    damping = torch.maximum(_DAMPING * variance.mean(dim=1), _SINGLE_PRECISION * variance.amax(dim=1))
    damping = torch.where(damping > 0, damping, 1.0)  # inputs that are always the same: any positive number will do
    at = order.unsqueeze(1)
    left = rows.gather(2, at.expand_as(rows)).clone()
    damped = covariance + torch.diag_embed(damping[:, None].expand_as(variance))
    sorted_ = damped.gather(1, order.unsqueeze(2).expand_as(damped)).gather(2, at.expand_as(damped))
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(sorted_))
    factor = torch.linalg.cholesky(inverse, upper=True)
    codes = torch.empty_like(left)
    width = left.shape[2]
    for start in range(0, width, _BLOCK):
        stop = min(start + _BLOCK, width)
        errors = left.new_empty(*left.shape[:2], stop - start)
        for place in range(start, stop):
            now = left[:, :, place]
            code = torch.round(now / step + top / 2).clamp(0, top)
            error = (now - (code - top / 2) * step) / factor[:, place, place, None]
            codes[:, :, place], errors[:, :, place - start] = code, error
            left[:, :, place + 1 : stop] -= error.unsqueeze(2) * factor[:, None, place, place + 1 : stop]
        left[:, :, stop:] -= errors @ factor[:, start:stop, stop:]
    return codes.scatter(2, at.expand_as(codes), codes)
