"""Attribution by the change of the logit when parts of the image are hidden. These methods need no gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from captum.attr import Occlusion
from torch import Tensor
from torch.nn import functional as F

from saq_eval.attribution.base import Batch, Parameters, Shape, register_method
from saq_eval.attribution.superpixels import superpixels
from saq_eval.attribution.surrogates import (
    Draw,
    Fit,
    cosines,
    draw_coalitions,
    fair_coalitions,
    ridge_weights,
    shapley_coalitions,
    shapley_values,
)
from saq_eval.core.errors import SaqEvalError
from saq_eval.core.specs import Count, NotNegative, Pixels, Share
from saq_eval.data.fills import Fill, fill_images
from saq_eval.networks.hidden import masks_at_once, outputs_with_hidden
from saq_eval.networks.memory import at_once


def _windows(parameters: Parameters, shape: Shape) -> Parameters:
    """Return occlusion's parameters for images of a shape; raises `SaqEvalError` if a window does not fit."""
    _, height, width = shape
    side = min(height, width)
    window, stride = parameters["window"] or max(1, side // 4), parameters["stride"]
    if window > side:
        raise SaqEvalError(f"occlusion: window={window} does not fit into an image of {height}x{width}")
    if stride is not None and stride > window:
        raise SaqEvalError(
            f"occlusion: stride={stride} is larger than window={window}: pixels between windows would be left out"
        )
    return parameters | {"window": window, "stride": stride or min(window, max(1, side * 3 // 28))}


def _number_of_windows(parameters: Parameters, shape: Shape) -> int:
    """Return the number of windows over an image; the last of a row or column may reach beyond the border."""
    window, stride = parameters["window"], parameters["stride"]
    return math.prod(-(-(size - window) // stride) + 1 for size in shape[1:])


@register_method(
    "occlusion",
    family="perturbation",
    reference="Zeiler and Fergus 2014, arXiv 1311.2901",
    resolve=_windows,
    passes=lambda parameters, shape: 1 + _number_of_windows(parameters, shape),
)
def occlusion(
    batch: Batch, *, window: Pixels | None = None, stride: Pixels | None = None, fill: Fill = "black"
) -> Tensor:
    """The drop of the logit under a window of the fill that moves over the image; averaged where windows overlap.

    The window is a quarter of the image's shorter side, and it moves by 3/28 of that side: 7 and 3 pixels at 28x28, 56 and
    24 at 224x224. So an image of any size takes about 65 passes, and a window hides the same share of it.
    """
    shape = (batch.images.shape[1], batch.images.shape[2], batch.images.shape[3])
    used = _windows({"window": window, "stride": stride}, shape)
    with torch.no_grad():
        attributions = Occlusion(batch.network).attribute(
            batch.images.detach(),
            sliding_window_shapes=(shape[0], used["window"], used["window"]),
            strides=(shape[0], used["stride"], used["stride"]),
            baselines=fill_images(batch.images, fill),
            target=batch.targets,
        )
    return attributions[:, :1]  # each channel has the whole pixel's value


@register_method(
    "feature_ablation",
    family="perturbation",
    reference="Captum; superpixels by Achanta et al. 2012, doi 10.1109/TPAMI.2012.120",
    passes=lambda parameters, shape: parameters["segments"] + 1,
)
def feature_ablation(batch: Batch, *, segments: Pixels = 50, fill: Fill = "black") -> Tensor:
    """The drop of the logit when a superpixel (SLIC) is replaced by the fill."""
    parts = superpixels(batch.images, segments).flatten(1)

    def hidden(some: slice, pictures: Tensor) -> Tensor:
        return parts[some, None] == pictures[:, None]

    drops = _drops(batch, int(parts.max()) + 1, hidden, fill)
    return _on_pixels(drops, parts, batch.images)


# (images, pictures) -> bool (n or 1, m, h · w), the pixels that are hidden in some of the pictures of some images.
Hidden = Callable[[slice, Tensor], Tensor]


def _logits(batch: Batch, count: int, hidden: Hidden, fill: Fill) -> Tensor:
    """Return the target's logit for `count` pictures of each image: float64 (n, count)."""
    images = batch.images.detach()
    filled = fill_images(images, fill)
    pixels = images[0, 0].numel()
    pictures = masks_at_once(pixels, count)
    logits = torch.empty(len(images), count, dtype=torch.float64, device=images.device)
    for some in _parts(len(images), masks_at_once(pictures * pixels, len(images))):
        for part in _parts(count, pictures):
            masks = hidden(some, torch.arange(count, device=images.device)[part])
            logits[some, part] = outputs_with_hidden(
                batch.network,
                images[some],
                filled[some],
                batch.targets[some],
                masks.expand(len(images[some]), -1, -1),
                batch_size=batch.batch_size,
            )
    return logits


def _drops(batch: Batch, count: int, hidden: Hidden, fill: Fill) -> Tensor:
    """Return by how much the target's logit drops in each picture: float64 (n, count)."""

    def after_the_image(some: slice, pictures: Tensor) -> Tensor:
        # The image itself is the first picture. So pictures in which nothing changes are equal to it.
        return hidden(some, (pictures - 1).clamp(min=0)) & (pictures > 0)[:, None]

    logits = _logits(batch, count + 1, after_the_image, fill)
    return logits[:, :1] - logits[:, 1:]


def _on_pixels(values: Tensor, parts: Tensor, images: Tensor) -> Tensor:
    """Give each pixel its superpixel's value: (n, superpixels) and int64 (n, h · w) -> (n, 1, h, w)."""
    return values.gather(1, parts).reshape(len(images), 1, *images.shape[2:])


@register_method(
    "kernel_shap",
    family="perturbation",
    reference="Lundberg and Lee 2017, arXiv 1705.07874",
    passes=lambda parameters, shape: parameters["n_samples"],
    random=True,
)
def kernel_shap(batch: Batch, *, n_samples: Count = 200, segments: Pixels = 50, fill: Fill = "black") -> Tensor:
    """Shapley values of superpixels (SLIC), estimated by a weighted linear regression on random coalitions."""
    return _surrogate(batch, shapley_coalitions, shapley_values, n_samples, segments, fill)


@register_method(
    "lime",
    family="perturbation",
    reference="Ribeiro et al. 2016, arXiv 1602.04938",
    passes=lambda parameters, shape: parameters["n_samples"],
    random=True,
)
def lime(
    batch: Batch,
    *,
    n_samples: Count = 200,
    segments: Pixels = 50,
    ridge: NotNegative = 1.0,
    fill: Fill = "black",
) -> Tensor:
    """The weights of a local ridge regression on random sets of superpixels (SLIC)."""
    return _surrogate(batch, fair_coalitions, partial(ridge_weights, ridge), n_samples, segments, fill)


# A superpixel of a coalition takes a byte, its random number four, and eight in the pictures' similarity, twice.
_BYTES_PER_MEMBER = 24


def _surrogate(batch: Batch, draw: Draw, fit: Fit, n_samples: int, segments: int, fill: Fill) -> Tensor:
    """Return the coefficients of a linear surrogate for each image, (n, 1, h, w)."""
    maps = []
    for some in batch.parts(at_once(_BYTES_PER_MEMBER * n_samples * segments, len(batch.seeds))):
        parts = superpixels(some.images, segments).flatten(1)
        values = torch.zeros(len(parts), int(parts.max()) + 1, dtype=torch.float64)
        single = (parts == 0).all(dim=1).cpu()
        for positions, evaluate in ((single, _whole_drops), (~single, partial(_coefficients, draw, fit, n_samples))):
            if positions.any():
                found = evaluate(some.at(positions.nonzero()[:, 0].tolist()), parts[positions], fill).cpu()
                values[positions, : found.shape[1]] = found
        maps.append(_on_pixels(values.to(parts.device), parts, some.images))
    return torch.cat(maps)


def _whole_drops(batch: Batch, parts: Tensor, fill: Fill) -> Tensor:
    """Return the drop when the whole image is hidden, (n, 1): with a single superpixel, there is nothing to estimate."""
    return _drops(batch, 1, lambda some, pictures: torch.ones_like(parts[some, None], dtype=torch.bool), fill)


def _coefficients(draw: Draw, fit: Fit, n_samples: int, batch: Batch, parts: Tensor, fill: Fill) -> Tensor:
    """Return the coefficients of a regression on random coalitions, (n, most superpixels of an image)."""
    images, numbers = batch.images.detach(), (parts.amax(dim=1) + 1).tolist()
    coalitions = draw_coalitions(draw, batch.seeds, n_samples, numbers)
    shown = coalitions.to(images.device)

    def hidden(some: slice, pictures: Tensor) -> Tensor:
        return ~shown[some][:, pictures].gather(2, parts[some, None].expand(-1, len(pictures), -1))

    logits = _logits(batch, n_samples, hidden, fill).cpu()
    similarities = cosines(images, fill_images(images, fill), parts, shown).cpu()
    found = torch.zeros(len(parts), max(numbers), dtype=torch.float64)
    for row, number in enumerate(numbers):
        found[row, :number] = fit(coalitions[row, :, :number], logits[row], similarities[row])
    return found


@register_method(
    "rise",
    family="perturbation",
    reference="Petsiuk et al. 2018, arXiv 1806.07421",
    passes=lambda parameters, shape: parameters["n_masks"],
    random=True,
)
def rise(batch: Batch, *, n_masks: Count = 500, cells: Pixels = 7, keep: Share = 0.5, fill: Fill = "black") -> Tensor:
    """Covariance of the logit and a pixel's visibility under smooth random masks, divided by the mask's variance."""
    together = at_once(4 * n_masks * (cells + 1) ** 2, len(batch.seeds))  # the grids are float32
    return torch.cat([_covariances(some, n_masks, cells, keep, fill) for some in batch.parts(together)])


def _covariances(batch: Batch, n_masks: int, cells: int, keep: float, fill: Fill) -> Tensor:
    images = batch.images.detach()
    start = fill_images(images, fill)
    masks = _RandomMasks.draw(n_masks, cells, keep, batch)
    first = torch.zeros(len(images), dtype=torch.float64, device=images.device)
    changes, visible, products = first.clone(), *torch.zeros(2, len(images), images[0, 0].numel()).to(first)
    with torch.no_grad():
        for part in _parts(len(images) * n_masks, batch.batch_size):
            numbers = torch.arange(len(images) * n_masks, device=images.device)[part]
            owners = numbers // n_masks
            enlarged = masks.enlarged(part)
            shown = start[owners] + enlarged * (images[owners] - start[owners])
            logits = batch.network(shown).gather(1, batch.targets[owners, None])[:, 0].double()
            opening = numbers % n_masks == 0
            first[owners[opening]] = logits[opening]
            # Changes from the first logit, so that a logit which never changes gives a map of exact zeros.
            change, visibility = logits - first[owners], enlarged.flatten(1).double()
            changes.index_add_(0, owners, change)
            visible.index_add_(0, owners, visibility)
            products.index_add_(0, owners, change[:, None] * visibility)
    covariances = (products - changes[:, None] / n_masks * visible) / n_masks
    return (covariances / (keep * (1 - keep))).reshape(len(images), 1, *images.shape[2:])


def _parts(count: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, count, size)]


@dataclass(frozen=True)
class _RandomMasks:
    """Masks as RISE draws them: coarse grids of zeros and ones, enlarged bilinearly, shifted within a cell.

    The masks of one large image take more memory than a network does, so they are enlarged a part at a time.

    Attributes:
        grids: float32 (n · count, 1, cells + 1, cells + 1), those of the first image first.
        shifts: int64 (n · count, 2), in pixels, down and to the right.
        size: height and width of the images.
    """

    grids: Tensor
    shifts: Tensor
    size: tuple[int, int]

    @classmethod
    def draw(cls, count: int, cells: int, keep: float, batch: Batch) -> _RandomMasks:
        """Draw `count` masks of each image."""
        size = batch.images.shape[2], batch.images.shape[3]
        grids, shifts = [], []
        for seed in batch.seeds:
            generator = torch.Generator().manual_seed(seed)
            grids.append((torch.rand(count, 1, cells + 1, cells + 1, generator=generator) < keep).float())
            shifts += [
                torch.stack([torch.randint(-(-side // cells), (count,), generator=generator) for side in size], 1)
            ]
        return cls(torch.cat(grids).to(batch.images.device), torch.cat(shifts).to(batch.images.device), size)

    def enlarged(self, part: slice) -> Tensor:
        """Return some of the masks, float32 (m, 1, h, w)."""
        across = self.grids.shape[-1]
        whole = [-(-side // (across - 1)) * across for side in self.size]
        large = F.interpolate(self.grids[part], whole, mode="bilinear", align_corners=False)
        rows, columns = (
            shift[:, None] + torch.arange(side, device=shift.device)
            for shift, side in zip(self.shifts[part].T, self.size, strict=True)
        )
        every = torch.arange(len(large), device=large.device)[:, None, None]
        return large[every, 0, rows[:, :, None], columns[:, None, :]].unsqueeze(1)
