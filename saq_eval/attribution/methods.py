"""Attribution methods by name; add one with `register_method`.

Every method explains the logit of a given class. Maps are over pixels in [0, 1]; where a method
compares with an image that shows nothing, that image is black (0).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from captum.attr import GradientShap, InputXGradient, IntegratedGradients, NoiseTunnel, Occlusion, Saliency
from torch import Tensor, nn

from saq_eval.errors import SaqEvalError
from saq_eval.randomness import derived_seed, global_seed
from saq_eval.registry import Registry

Attribute = Callable[[nn.Module, Tensor, Tensor, int], Tensor]


@dataclass(frozen=True)
class Method:
    """An attribution method.

    Attributes:
        name: as on the command line.
        family: "gradient" or "perturbation".
        reference: the paper.
        passes: forward or forward-and-backward passes of the network for one image.
        random: whether it draws noise; such a method gets one image at a time, with the image's own seed.
        attribute: (network, images (n, c, h, w), targets (n,), batch_size) -> attributions (n, c, h, w);
            it should keep at most about `batch_size` images, or one image's samples, in flight.
    """

    name: str
    family: str
    reference: str
    passes: int
    random: bool
    attribute: Attribute

    @property
    def description(self) -> str:
        """What it computes, with its parameters: the first line of the function's docstring."""
        return inspect.getdoc(self.attribute).partition("\n")[0]


METHODS: Registry[Method] = Registry("method")


def register_method(
    name: str, *, family: str, reference: str, passes: int, random: bool = False
) -> Callable[[Attribute], Attribute]:
    """Register the decorated function as an attribution method; see `Method` for the arguments.

    The first line of its docstring, which reports print, says what it computes and with which parameters.
    """

    def register(attribute: Attribute) -> Attribute:
        METHODS.add(name, Method(name, family, reference, passes, random, attribute))
        return attribute

    return register


def explain(
    method: str,
    network: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    indices: Sequence[int] | None = None,
    seed: int = 0,
    batch_size: int = 64,
) -> Tensor:
    """Return the saliency maps of a network's logits for given classes.

    Attributions keep the method's sign and are summed over colour channels. A map may be constant
    (all zero, where a quantized network clips everything): nothing is made up for it.

    Args:
        method: a registered name.
        network: in eval mode; (n, c, h, w) -> logits (n, classes).
        images: float32 (n, c, h, w) in [0, 1], on the network's device.
        targets: int64 (n,), the class to explain in each image.
        indices: (n,) identities of the images, from which random methods draw their noise; by default 0 … n − 1.
        seed: of random methods.
        batch_size: images in a chunk.

    Returns:
        float32 (n, h, w), on the CPU.

    Raises:
        SaqEvalError: an unknown method, or counts that differ.
    """
    chosen = METHODS[method]
    indices = range(len(images)) if indices is None else indices
    if not len(images) == len(targets) == len(indices):
        raise SaqEvalError(f"{len(images)} images go with {len(targets)} targets and {len(indices)} indices")
    images = images.detach().clone().requires_grad_()
    maps = []
    if chosen.random:
        for position, index in enumerate(indices):
            one = slice(position, position + 1)
            with global_seed(derived_seed(seed, method, int(index))):
                maps.append(chosen.attribute(network, images[one], targets[one], batch_size))
    else:
        for some_images, some_targets in zip(images.split(batch_size), targets.split(batch_size), strict=True):
            maps.append(chosen.attribute(network, some_images, some_targets, batch_size))
    return torch.cat([attributions.detach().sum(dim=1).float().cpu() for attributions in maps])


@register_method("saliency", family="gradient", reference="Simonyan et al. 2014, arXiv 1312.6034", passes=1)
def saliency(network: nn.Module, images: Tensor, targets: Tensor, batch_size: int) -> Tensor:
    """The gradient's magnitude."""
    return Saliency(network).attribute(images, target=targets, abs=True)


@register_method("input_x_gradient", family="gradient", reference="Shrikumar et al. 2016, arXiv 1605.01713", passes=1)
def input_x_gradient(network: nn.Module, images: Tensor, targets: Tensor, batch_size: int) -> Tensor:
    """The gradient times the pixel."""
    return InputXGradient(network).attribute(images, target=targets)


@register_method(
    "integrated_gradients", family="gradient", reference="Sundararajan et al. 2017, arXiv 1703.01365", passes=32
)
def integrated_gradients(network: nn.Module, images: Tensor, targets: Tensor, batch_size: int) -> Tensor:
    """The gradient averaged over 32 Gauss-Legendre points of the straight path from black, times the pixel."""
    return IntegratedGradients(network).attribute(
        images, baselines=0.0, target=targets, n_steps=32, internal_batch_size=max(batch_size, len(images))
    )


@register_method(
    "smoothgrad", family="gradient", reference="Smilkov et al. 2017, arXiv 1706.03825", passes=25, random=True
)
def smoothgrad(network: nn.Module, images: Tensor, targets: Tensor, batch_size: int) -> Tensor:
    """The gradient averaged over 25 copies with Gaussian noise of standard deviation 0.15, its magnitude taken last."""
    averaged = NoiseTunnel(Saliency(network)).attribute(
        images,
        nt_type="smoothgrad",
        nt_samples=25,
        nt_samples_batch_size=25,  # fixed: on a GPU, noise depends on how many copies are drawn at once
        stdevs=0.15,
        target=targets,
        abs=False,
    )
    return averaged.abs()


@register_method(
    "gradient_shap", family="gradient", reference="Lundberg and Lee 2017, arXiv 1705.07874", passes=25, random=True
)
def gradient_shap(network: nn.Module, images: Tensor, targets: Tensor, batch_size: int) -> Tensor:
    """Expected gradients over 25 random points between the noisy image (standard deviation 0.09) and black, times the pixel."""
    return GradientShap(network).attribute(
        images, baselines=torch.zeros_like(images), n_samples=25, stdevs=0.09, target=targets
    )


@register_method("occlusion", family="perturbation", reference="Zeiler and Fergus 2014, arXiv 1311.2901", passes=65)
def occlusion(network: nn.Module, images: Tensor, targets: Tensor, batch_size: int) -> Tensor:
    """The drop of the logit under a black 7x7 window that moves by 3 pixels; averaged where windows overlap."""
    channels, height, width = images.shape[1:]
    window = (channels, min(7, height), min(7, width))
    with torch.no_grad():
        return Occlusion(network).attribute(
            images,
            sliding_window_shapes=window,
            strides=(channels, min(3, window[1]), min(3, window[2])),
            baselines=0.0,
            target=targets,
        )
