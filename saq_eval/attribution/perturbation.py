"""Attribution by the change of the logit when parts of the image are hidden. These methods need no gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from captum._utils.models.linear_model import SkLearnRidge
from captum.attr import FeatureAblation, KernelShap, Lime, Occlusion
from skimage.segmentation import slic
from torch import Tensor
from torch.nn import functional as F

from saq_eval.attribution.base import Batch, Parameters, Shape, register_method
from saq_eval.core.errors import SaqEvalError
from saq_eval.core.randomness import global_seed
from saq_eval.core.specs import Count, NotNegative, Pixels, Share
from saq_eval.data.fills import Fill, fill_images
from saq_eval.networks.memory import at_once


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
        return _of_pixels(
            Occlusion(batch.network).attribute(
                batch.images.detach(),
                sliding_window_shapes=(shape[0], used["window"], used["window"]),
                strides=(shape[0], used["stride"], used["stride"]),
                baselines=fill_images(batch.images, fill),
                target=batch.targets,
            )
        )


@register_method(
    "feature_ablation",
    family="perturbation",
    reference="Captum; superpixels by Achanta et al. 2012, doi 10.1109/TPAMI.2012.120",
    passes=lambda parameters, shape: parameters["segments"] + 1,
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
    passes=lambda parameters, shape: parameters["n_samples"],
    random=True,
)
def kernel_shap(batch: Batch, *, n_samples: Count = 200, segments: Pixels = 50, fill: Fill = "black") -> Tensor:
    """Shapley values of superpixels (SLIC), estimated by a weighted linear regression on random coalitions."""
    return _surrogate(batch, KernelShap(batch.network), n_samples, segments, fill)


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
    passes=lambda parameters, shape: parameters["n_masks"],
    random=True,
)
def rise(batch: Batch, *, n_masks: Count = 500, cells: Pixels = 7, keep: Share = 0.5, fill: Fill = "black") -> Tensor:
    """Covariance of the logit and a pixel's visibility under smooth random masks, divided by the mask's variance."""
    maps = []
    for one in batch.singly():
        masks = _RandomMasks.draw(n_masks, cells, keep, one)
        start = fill_images(one.images, fill)
        logits = []
        with torch.no_grad():
            for part in _parts(n_masks, batch.batch_size):
                shown = start + masks.enlarged(part) * (one.images.detach() - start)
                logits.append(batch.network(shown)[:, one.targets[0]])
            centred = torch.cat(logits).double()
            centred = centred - centred.mean()
            covariance = torch.zeros_like(one.images[0, :1], dtype=torch.float64)
            for part in _parts(n_masks, at_once(32 * covariance.numel(), n_masks)):
                covariance += (centred[part, None, None, None] * masks.enlarged(part)).sum(dim=0)
            maps.append(covariance / n_masks / (keep * (1 - keep)))
    return torch.stack(maps)


def _parts(count: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, count, size)]


@dataclass(frozen=True)
class _RandomMasks:
    """Masks as RISE draws them: coarse grids of zeros and ones, enlarged bilinearly, shifted within a cell.

    The masks of one large image take more memory than a network does, so they are enlarged a part at a time.

    Attributes:
        grids: float32 (count, 1, cells + 1, cells + 1).
        shifts: int64 (count, 2), in pixels, down and to the right.
        size: height and width of the image.
        device: the image's device.
    """

    grids: Tensor
    shifts: Tensor
    size: tuple[int, int]
    device: torch.device

    @classmethod
    def draw(cls, count: int, cells: int, keep: float, batch: Batch) -> _RandomMasks:
        """Draw the masks of the only image of a batch."""
        size = batch.images.shape[2], batch.images.shape[3]
        generator = torch.Generator().manual_seed(batch.seeds[0])
        grids = (torch.rand(count, 1, cells + 1, cells + 1, generator=generator) < keep).float()
        shifts = torch.stack([torch.randint(-(-side // cells), (count,), generator=generator) for side in size], dim=1)
        return cls(grids, shifts, size, batch.images.device)

    def enlarged(self, part: slice) -> Tensor:
        """Return some of the masks, float32 (m, 1, h, w)."""
        (height, width), across = self.size, self.grids.shape[-1]
        whole = [-(-side // (across - 1)) * across for side in self.size]
        large = F.interpolate(self.grids[part], whole, mode="bilinear", align_corners=False)
        shifted = [
            mask[:, top : top + height, left : left + width]
            for mask, (top, left) in zip(large, self.shifts[part].tolist(), strict=True)
        ]
        return torch.stack(shifted).to(self.device)
