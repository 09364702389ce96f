"""Attribution by gradients of the logit. On a quantized network, these are straight-through gradients."""

from __future__ import annotations

from typing import Annotated

import torch
from captum.attr import InputXGradient, IntegratedGradients, Saliency
from pydantic import Field
from torch import Tensor

from saq_eval.attribution.base import Batch, register_method
from saq_eval.core.specs import Count, NotNegative, Positive
from saq_eval.data.fills import Fill, fill_images


def _gradients(batch: Batch, points: Tensor) -> Tensor:
    """Return the gradients at m points for each image, (n, m, c, h, w) -> same shape, in chunks of the batch size."""
    flat = points.flatten(0, 1)
    targets = batch.targets.repeat_interleave(points.shape[1])
    gradient = Saliency(batch.network)
    parts = [
        gradient.attribute(part.detach().requires_grad_(), target=target, abs=False).detach()
        for part, target in zip(flat.split(batch.batch_size), targets.split(batch.batch_size), strict=True)
    ]
    return torch.cat(parts).reshape(points.shape)


@register_method("saliency", family="gradient", reference="Simonyan et al. 2014, arXiv 1312.6034", sign="absolute")
def saliency(batch: Batch) -> Tensor:
    """The gradient's magnitude."""
    return Saliency(batch.network).attribute(batch.images, target=batch.targets, abs=False)


@register_method("input_x_gradient", family="gradient", reference="Shrikumar et al. 2016, arXiv 1605.01713")
def input_x_gradient(batch: Batch) -> Tensor:
    """The gradient times the pixel."""
    return InputXGradient(batch.network).attribute(batch.images, target=batch.targets)


@register_method(
    "integrated_gradients",
    family="gradient",
    reference="Sundararajan et al. 2017, arXiv 1703.01365",
    passes=lambda parameters, shape: parameters["n_steps"],
)
def integrated_gradients(
    batch: Batch, *, n_steps: Annotated[int, Field(ge=1, le=1_000)] = 32, fill: Fill = "black"
) -> Tensor:
    """The mean gradient on the straight path from the fill (Gauss-Legendre), times the image's difference from the fill."""
    return IntegratedGradients(batch.network).attribute(
        batch.images,
        baselines=fill_images(batch.images, fill),
        target=batch.targets,
        n_steps=n_steps,
        internal_batch_size=max(batch.batch_size, len(batch.images)),
    )


@register_method(
    "smoothgrad",
    family="gradient",
    reference="Smilkov et al. 2017, arXiv 1706.03825",
    sign="absolute",
    passes=lambda parameters, shape: parameters["n_samples"],
    copies=lambda parameters: parameters["n_samples"],
    random=True,
)
def smoothgrad(batch: Batch, *, n_samples: Count = 25, stdev: Positive = 0.15) -> Tensor:
    """The magnitude of the mean gradient over copies of the image with Gaussian noise."""
    return _gradients(batch, _noisy(batch, n_samples, stdev)).mean(dim=1)


@register_method(
    "vargrad",
    family="gradient",
    reference="Adebayo et al. 2018, arXiv 1810.03307",
    sign="absolute",
    passes=lambda parameters, shape: parameters["n_samples"],
    copies=lambda parameters: parameters["n_samples"],
    random=True,
)
def vargrad(batch: Batch, *, n_samples: Annotated[int, Field(ge=2, le=10_000)] = 25, stdev: Positive = 0.15) -> Tensor:
    """The variance of the gradient over copies of the image with Gaussian noise."""
    return _gradients(batch, _noisy(batch, n_samples, stdev)).var(dim=1, unbiased=False)


def _noisy(batch: Batch, n_samples: int, stdev: float) -> Tensor:
    shape = (n_samples, *batch.images.shape[1:])
    noise = batch.draw(lambda generator: torch.randn(shape, generator=generator))
    return batch.images.detach().unsqueeze(1) + stdev * noise


@register_method(
    "gradient_shap",
    family="gradient",
    reference="Erion et al. 2021, arXiv 1906.10670",
    passes=lambda parameters, shape: parameters["n_samples"],
    copies=lambda parameters: parameters["n_samples"],
    random=True,
)
def gradient_shap(batch: Batch, *, n_samples: Count = 25, stdev: NotNegative = 0.09, fill: Fill = "black") -> Tensor:
    """Expected gradients: over random points between noisy images and the fill, the gradient times the difference."""
    noisy = _noisy(batch, n_samples, stdev)
    positions = batch.draw(
        # The positions have their own generator, so the noise does not depend on them.
        lambda generator: torch.rand(n_samples, 1, 1, 1, generator=generator.manual_seed(generator.initial_seed() + 1))
    )
    start = fill_images(batch.images, fill).unsqueeze(1)
    difference = noisy - start
    return (_gradients(batch, start + positions * difference) * difference).mean(dim=1)
