"""Attribution by the change of the logit when parts of the image are hidden. These methods need no gradient."""

from __future__ import annotations

import functools

import numpy as np
import torch
from captum._utils.models.linear_model import SkLearnRidge
from captum.attr import FeatureAblation, KernelShap, Lime, Occlusion
from skimage.segmentation import slic
from torch import Tensor
from torch.nn import functional as F

from saq_eval.attribution.base import Batch, register_method
from saq_eval.core.errors import SaqEvalError
from saq_eval.core.randomness import global_seed
from saq_eval.core.specs import Count, NotNegative, Pixels, Share
from saq_eval.data.fills import Fill, fill_images


def superpixels(images: Tensor, segments: int) -> Tensor:
    """Return about `segments` superpixels of each image (SLIC, Achanta et al. 2012; scikit-image).

    The colour distance is the root mean square over channels. Images of three channels are not converted to Lab, so a
    picture has the same superpixels in any number of channels. On a plain background, superpixels are squares.

    Returns:
        int64 (n, 1, h, w), each pixel's superpixel, numbered from 0.
    """
    masks = [_superpixels(image, segments) for image in images.detach().cpu().numpy()]
    return torch.from_numpy(np.stack(masks)).to(images.device, torch.int64).unsqueeze(1)


def _superpixels(image: np.ndarray, segments: int) -> np.ndarray:
    # scikit-image proposes 0.1 for values from 0 to 1. In a noisy picture this gives very small pieces, which SLIC then
    # merges into a few superpixels. So the compactness is raised until there are at least half as many superpixels as
    # requested. At the highest compactness they are squares.
    wanted = min(segments, image[0].size) / 2
    for stiffness in 0.1 * 2.0 ** np.arange(10):
        mask = slic(
            image,
            n_segments=segments,
            compactness=stiffness * len(image) ** 0.5,  # scikit-image sums squares over channels
            convert2lab=False,
            channel_axis=0,
            start_label=0,
        )
        if mask.max() + 1 >= wanted:
            break
    return mask


def _of_pixels(attributions: Tensor) -> Tensor:
    """Return one channel of Captum's attributions: (n, c, h, w) -> (n, 1, h, w); each channel has the whole pixel's value."""
    return attributions[:, :1]


@register_method(
    "occlusion",
    family="perturbation",
    reference="Zeiler and Fergus 2014, arXiv 1311.2901",
    passes=lambda parameters: 1 + (-(-(28 - min(28, parameters["window"])) // parameters["stride"]) + 1) ** 2,
)
def occlusion(batch: Batch, *, window: Pixels = 7, stride: Pixels = 3, fill: Fill = "black") -> Tensor:
    """The drop of the logit under a window of the fill that moves over the image; averaged where windows overlap."""
    channels, height, width = batch.images.shape[1:]
    if window > min(height, width):
        raise SaqEvalError(f"occlusion: window={window} does not fit into an image of {height}x{width}")
    if stride > window:
        raise SaqEvalError(
            f"occlusion: stride={stride} is larger than window={window}: pixels between windows would be left out"
        )
    with torch.no_grad():
        return _of_pixels(
            Occlusion(batch.network).attribute(
                batch.images.detach(),
                sliding_window_shapes=(channels, window, window),
                strides=(channels, stride, stride),
                baselines=fill_images(batch.images, fill),
                target=batch.targets,
            )
        )


@register_method(
    "feature_ablation",
    family="perturbation",
    reference="Captum; superpixels by Achanta et al. 2012, doi 10.1109/TPAMI.2012.120",
    passes=lambda parameters: parameters["segments"] + 1,
)
def feature_ablation(batch: Batch, *, segments: Pixels = 50, fill: Fill = "black") -> Tensor:
    """The drop of the logit when a superpixel (SLIC) is replaced by the fill."""
    masks = superpixels(batch.images, segments)
    with torch.no_grad():
        return _of_pixels(
            FeatureAblation(batch.network).attribute(
                batch.images.detach(),
                baselines=fill_images(batch.images, fill),
                feature_mask=masks.expand_as(batch.images),
                target=batch.targets,
            )
        )


@register_method(
    "kernel_shap",
    family="perturbation",
    reference="Lundberg and Lee 2017, arXiv 1705.07874",
    passes=lambda parameters: parameters["n_samples"],
    random=True,
)
def kernel_shap(batch: Batch, *, n_samples: Count = 200, segments: Pixels = 50, fill: Fill = "black") -> Tensor:
    """Shapley values of superpixels (SLIC), estimated by a weighted linear regression on random coalitions."""
    return _surrogate(batch, KernelShap(batch.network), n_samples, segments, fill)


@register_method(
    "lime",
    family="perturbation",
    reference="Ribeiro et al. 2016, arXiv 1602.04938",
    passes=lambda parameters: parameters["n_samples"],
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
    return _surrogate(
        batch, Lime(batch.network, interpretable_model=SkLearnRidge(alpha=ridge)), n_samples, segments, fill
    )


def _surrogate(batch: Batch, method: Lime, n_samples: int, segments: int, fill: Fill) -> Tensor:
    maps = []
    for one in batch.singly():
        image, start = one.images.detach(), fill_images(one.images, fill)
        mask = superpixels(one.images, segments)
        with torch.no_grad(), global_seed(one.seeds[0]):
            if not mask.any():  # with a single superpixel, there is nothing to estimate
                drop = (batch.network(image) - batch.network(start))[0, one.targets[0]]
                maps.append(drop.expand_as(image))
                continue
            maps.append(
                method.attribute(
                    image,
                    baselines=start,
                    feature_mask=mask.expand_as(image),
                    target=one.targets,
                    n_samples=n_samples,
                    perturbations_per_eval=batch.batch_size,
                )
            )
    return _of_pixels(torch.cat(maps))


@register_method(
    "rise",
    family="perturbation",
    reference="Petsiuk et al. 2018, arXiv 1806.07421",
    passes=lambda parameters: parameters["n_masks"],
    random=True,
)
def rise(batch: Batch, *, n_masks: Count = 500, cells: Pixels = 7, keep: Share = 0.5, fill: Fill = "black") -> Tensor:
    """Covariance of the logit and a pixel's visibility under smooth random masks, divided by the mask's variance."""
    maps = []
    height, width = batch.images.shape[2:]
    for one in batch.singly():
        masks = one.draw(functools.partial(_rise_masks, n_masks, cells, keep, height, width))[0]
        start = fill_images(one.images, fill)
        logits = []
        with torch.no_grad():
            for some in masks.split(batch.batch_size):
                shown = start + some * (one.images.detach() - start)
                logits.append(batch.network(shown)[:, one.targets[0]])
            centred = torch.cat(logits).double()
            centred = centred - centred.mean()
            covariance = (centred[:, None, None, None] * masks).mean(dim=0)
            maps.append(covariance / (keep * (1 - keep)))
    return torch.stack(maps)


def _rise_masks(count: int, cells: int, keep: float, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Draw masks as RISE does: coarse grids of zeros and ones, enlarged bilinearly, shifted within a cell: (count, 1, h, w)."""
    cell = (-(-height // cells), -(-width // cells))
    grids = (torch.rand(count, 1, cells + 1, cells + 1, generator=generator) < keep).float()
    large = F.interpolate(grids, ((cells + 1) * cell[0], (cells + 1) * cell[1]), mode="bilinear", align_corners=False)
    shifts = torch.stack([torch.randint(size, (count,), generator=generator) for size in cell], dim=1)
    return torch.stack(
        [
            mask[:, top : top + height, left : left + width]
            for mask, (top, left) in zip(large, shifts.tolist(), strict=True)
        ]
    )
