"""Linear surrogates of a network: coalitions of an image's superpixels, and regressions of the logit on them.

A coalition is a set of superpixels that are shown, while the others are hidden. The draws, the samples' weights and the
regressions are those of Captum's `KernelShap` and `Lime`, so the values are Captum's. But Captum draws, hides and passes
image by image. Here the pictures of all images fill the batches, and a picture is made when it is passed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from sklearn.linear_model import LinearRegression, Ridge
from torch import Tensor

# In KernelSHAP, showing all superpixels and showing none have an infinite weight; this stands for it.
_INFINITE = 1e6

Draw = Callable[[int, int, int], Tensor]  # (seed, count, superpixels) -> bool (count, superpixels)
Fit = Callable[[Tensor, Tensor, Tensor], Tensor]  # (coalitions, logits, similarities) -> float32 (superpixels,)


def shapley_coalitions(seed: int, count: int, superpixels: int) -> Tensor:
    """Draw coalitions by the Shapley kernel: all superpixels, none, then random ones (Lundberg and Lee 2017, theorem 2).

    Args:
        superpixels: the number of superpixels, at least 2.

    Returns:
        bool (count, superpixels), true for those that are shown.
    """
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.arange(superpixels, dtype=torch.float32)
    chances = (superpixels - 1) / (sizes * (superpixels - sizes))
    chances[0] = 0
    chances = chances / chances.sum()
    drawn = max(0, count - 2)
    size, order = torch.empty(drawn, 1, dtype=torch.int64), torch.empty(drawn, superpixels)
    for row in range(drawn):  # one by one, because Captum draws a size and an order in turn
        torch.multinomial(chances, 1, generator=generator, out=size[row])
        torch.randn(superpixels, generator=generator, out=order[row])
    smallest_shown = order.sort(dim=1).values.gather(1, superpixels - size - 1)
    ends = torch.tensor([True, False])[:, None].expand(-1, superpixels)
    return torch.cat([ends, order > smallest_shown])[:count]


def fair_coalitions(seed: int, count: int, superpixels: int) -> Tensor:
    """Draw coalitions in which each superpixel is shown with probability 1/2: bool (count, superpixels)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.bernoulli(torch.full((count, superpixels), 0.5), generator=generator).bool()


def draw_coalitions(draw: Draw, seeds: Sequence[int], count: int, superpixels: Sequence[int]) -> Tensor:
    """Draw the coalitions of several images, each by its own seed: bool (n, count, most superpixels of an image)."""
    coalitions = torch.zeros(len(seeds), count, max(superpixels), dtype=torch.bool)
    for row, seed, number in zip(coalitions, seeds, superpixels, strict=True):
        row[:, :number] = draw(seed, count, number)
    return coalitions


def shapley_values(coalitions: Tensor, logits: Tensor, similarities: Tensor) -> Tensor:
    """Return the Shapley values of an image's superpixels by KernelSHAP's regression: float32 (superpixels,).

    Args:
        coalitions: bool (count, superpixels).
        logits: floating point (count,), the target's logit for each coalition.
        similarities: not used; for the same arguments as `ridge_weights`.
    """
    shown = coalitions.sum(dim=1)
    ends = (shown == 0) | (shown == coalitions.shape[1])
    weights = torch.where(ends, _INFINITE, 1.0)
    return _coefficients(LinearRegression(), coalitions, logits, weights)


def ridge_weights(alpha: float, coalitions: Tensor, logits: Tensor, similarities: Tensor) -> Tensor:
    """Return the weights of LIME's ridge regression: float32 (superpixels,).

    Args:
        alpha: the strength of the ridge.
        coalitions, logits: as for `shapley_values`.
        similarities: floating point (count,), the cosine of the picture and the image. LIME's kernel of width 1 weights a
            picture by exp(−d² / 2) with d the cosine distance.
    """
    return _coefficients(Ridge(alpha=alpha), coalitions, logits, torch.exp(-((1 - similarities) ** 2) / 2))


def _coefficients(model: LinearRegression | Ridge, coalitions: Tensor, logits: Tensor, weights: Tensor) -> Tensor:
    features, values, sample_weight = (tensor.float().cpu().numpy() for tensor in (coalitions, logits, weights))
    return torch.from_numpy(model.fit(features, values, sample_weight=sample_weight).coef_)


def cosines(images: Tensor, filled: Tensor, parts: Tensor, coalitions: Tensor) -> Tensor:
    """Return the cosine of each coalition's picture and its image, as vectors of all values: float64 (n, count).

    Args:
        images, filled: floating point (n, c, h, w), the images and what stands in for hidden pixels.
        parts: int64 (n, h · w), each pixel's superpixel.
        coalitions: bool (n, count, superpixels).
    """
    images, filled, shown = images.flatten(2).double(), filled.flatten(2).double(), coalitions.double()

    def in_parts(values: Tensor) -> Tensor:
        sums = values.new_zeros(len(values), coalitions.shape[2], 1)
        return sums.scatter_add_(1, parts[:, :, None], values.sum(dim=1)[:, :, None])

    def in_pictures(where_shown: Tensor, where_hidden: Tensor) -> Tensor:
        return (shown @ in_parts(where_shown) + (1 - shown) @ in_parts(where_hidden))[:, :, 0]

    product = in_pictures(images * images, images * filled)
    length = in_pictures(images * images, filled * filled).clamp(min=0).sqrt()
    whole = images.square().sum(dim=(1, 2)).sqrt()[:, None]
    return product / (whole.clamp(min=1e-8) * length.clamp(min=1e-8))  # 1e-8 as in torch's `CosineSimilarity`
