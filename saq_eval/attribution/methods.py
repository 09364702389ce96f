"""Attribution methods by name; add one with `register_method`.

Every method explains the logit of a given class, over pixels in [0, 1]. Captum does the work (Zennit,
for LRP); this package adds what they must know of quantized layers (`rules`), and these policies:

- **Sign.** A "signed" method keeps its sign: positive where a pixel speaks for the class. An
  "absolute" method's map is a magnitude, since its sign says nothing of the class, as a gradient's
  does not. It is the same for every network.
- **Channels.** Attributions are summed over colour channels, of an absolute method their magnitudes.
- **Noise.** Each image draws from a generator of its own, on the CPU, seeded by the seed, the method
  and the image's own index: so maps depend on no other image, on no batch and on no order of calls, and
  two networks see the same noise.
- **Memory.** No pass of the network holds more than `batch_size` images (two, if that is one, for the
  methods that pass an image together with its baseline).
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
import torch
from captum.attr import (
    Deconvolution,
    DeepLift,
    FeatureAblation,
    GuidedBackprop,
    InputXGradient,
    IntegratedGradients,
    KernelShap,
    LayerGradCam,
    Lime,
    Occlusion,
    Saliency,
)
from captum._utils.models.linear_model import SkLearnRidge
from pydantic import Field
from skimage.filters import gaussian
from skimage.segmentation import slic
from torch import Tensor, nn
from torch.nn import functional as F

from saq_eval.attribution import rules
from saq_eval.errors import SaqEvalError, unknown_name
from saq_eval.randomness import derived_seed, global_seed
from saq_eval.registry import Registry
from saq_eval.specs import defaults, fill_parameters, label, parse_spec

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, lt=1)]
Baseline = Literal["black", "mean", "blur"]
Family = Literal["gradient", "rules", "class activation", "perturbation", "control"]


@dataclass(frozen=True)
class Batch:
    """What a method explains: some images' classes.

    Attributes:
        network: in eval mode, float32 pixels (n, c, h, w) in [0, 1] -> logits (n, classes); for a method
            with rules, `rules.explainable`'s copy.
        images: float32 (n, c, h, w), a leaf that requires a gradient.
        targets: int64 (n,).
        seeds: n seeds, of the noise of each image.
        background: float32 (k, c, h, w), typical images to compare with; none unless the method needs them.
        batch_size: images that may pass the network at once.
    """

    network: nn.Module
    images: Tensor
    targets: Tensor
    seeds: Sequence[int]
    background: Tensor | None
    batch_size: int

    def singly(self) -> Iterator[Batch]:
        """Yield the images one by one."""
        for place, seed in enumerate(self.seeds):
            one = slice(place, place + 1)
            yield Batch(self.network, self.images[one], self.targets[one], (seed,), self.background, self.batch_size)

    def draw(self, sampler: Callable[[torch.Generator], Tensor]) -> Tensor:
        """Return what a sampler draws for each image from the image's own generator, stacked, on the images' device."""
        drawn = [sampler(torch.Generator().manual_seed(seed)) for seed in self.seeds]
        return torch.stack(drawn).to(self.images.device)


Attribute = Callable[..., Tensor]


@dataclass(frozen=True)
class Method:
    """An attribution method.

    Attributes:
        name: as on the command line.
        family: what it is made of.
        reference: the paper.
        sign: whether its maps are "signed" or "absolute"; see the module's docstring.
        passes: from its parameters to the forward, or forward and backward, passes of the network for one 28x28 image.
        attribute: (batch, **parameters) -> attributions (n, c, h, w); its keyword-only parameters are the
            method's, see `saq_eval.specs`.
        random: whether it draws noise.
        needs_background: whether it compares with typical images.
        layers: for a method with rules, the kinds of layers that it has a rule for; else none.
        in_flight: images that pass the network at once for each image explained.
    """

    name: str
    family: Family
    reference: str
    sign: Literal["signed", "absolute"]
    passes: Callable[[dict[str, Any]], int]
    attribute: Attribute
    random: bool = False
    needs_background: bool = False
    layers: tuple[type[nn.Module], ...] | None = None
    in_flight: int = 1

    @property
    def description(self) -> str:
        """What it computes: the first line of the function's docstring."""
        return inspect.getdoc(self.attribute).partition("\n")[0]

    @property
    def needs(self) -> str:
        """What it needs of the network and the data, in words."""
        needs = {
            "gradient": "gradients",
            "rules": "known layers",
            "class activation": "gradients, a convolution",
            "perturbation": "",
            "control": "",
        }[self.family]
        if self.layers and self.family != "rules":
            needs = "known layers, a convolution"
        return ", ".join(filter(None, (needs, "background images" if self.needs_background else ""))) or "logits only"


METHODS: Registry[Method] = Registry("method")


def register_method(
    name: str,
    *,
    family: Family,
    reference: str,
    sign: Literal["signed", "absolute"] = "signed",
    passes: Callable[[dict[str, Any]], int] = lambda parameters: 1,
    random: bool = False,
    needs_background: bool = False,
    layers: tuple[type[nn.Module], ...] | None = None,
    in_flight: int = 1,
) -> Callable[[Attribute], Attribute]:
    """Register the decorated function as an attribution method; see `Method` for the arguments.

    The first line of its docstring, which reports print, says what it computes; reports add its parameters.
    """

    def register(attribute: Attribute) -> Attribute:
        METHODS.add(
            name,
            Method(name, family, reference, sign, passes, attribute, random, needs_background, layers, in_flight),
        )
        return attribute

    return register


@dataclass(frozen=True)
class Explainer:
    """A method with its parameters.

    Attributes:
        method: the method.
        parameters: all of its parameters.
    """

    method: Method
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The method's name with the parameters that are not the usual ones, as in `occlusion:window=5`."""
        return label(self.method.name, self.parameters, self.method.attribute)

    @property
    def passes(self) -> int:
        """Passes of the network for one 28x28 image."""
        return self.method.passes(self.parameters)

    @property
    def settings(self) -> str:
        """The parameters in words."""
        return ", ".join(f"{key} {value}" for key, value in self.parameters.items())


def find_explainer(spec: str) -> Explainer:
    """Return a method with parameters from a text such as `integrated_gradients:n_steps=64,baseline=blur`.

    Raises:
        SaqEvalError: an unknown method or parameter, or a value that the parameter does not take.
    """
    name, given = parse_spec(spec)
    method = METHODS[name]
    return Explainer(method, fill_parameters(name, method.attribute, given))


# Chosen for what a first look, a comparison and a study need; the last holds every method but the controls.
_QUICK = ("saliency", "integrated_gradients", "lrp")
_STANDARD = (
    *("saliency", "input_x_gradient", "integrated_gradients", "smoothgrad", "gradient_shap"),
    *("guided_backprop", "deeplift", "lrp", "gradcam", "occlusion"),
)


def method_sets() -> dict[str, list[str]]:
    """Return the names that stand for several methods: "quick", "standard" and "full"."""
    full = [name for name, method in METHODS.items() if method.family != "control"]
    return {"quick": list(_QUICK), "standard": list(_STANDARD), "full": full}


def find_explainers(specs: Sequence[str]) -> list[Explainer]:
    """Return methods with parameters, sets of methods taken apart and repetitions dropped.

    Raises:
        SaqEvalError: as `find_explainer` does, or if none is left.
    """
    sets = method_sets()
    explainers = [find_explainer(name) for spec in specs for name in sets.get(spec, [spec])]
    if not explainers:
        raise SaqEvalError(f"at least one method is needed; valid: {', '.join((*sets, *METHODS))}")
    return list({explainer.label: explainer for explainer in explainers}.values())


def explain(
    method: str | Explainer,
    network: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    indices: Sequence[int] | None = None,
    seed: int = 0,
    batch_size: int = 64,
    background: Tensor | None = None,
) -> Tensor:
    """Return the saliency maps of a network's logits for given classes.

    Signs, channels and noise are handled as the module's docstring says. A map may be constant (all
    zero, where a quantized network clips everything): nothing is made up for it.

    Args:
        method: a registered name, with parameters where wanted: "integrated_gradients:n_steps=64".
        network: in eval mode; (n, c, h, w) -> logits (n, classes).
        images: float32 (n, c, h, w) in [0, 1], on the network's device.
        targets: int64 (n,), the class to explain in each image.
        indices: (n,) identities of the images, from which random methods draw their noise; by default 0 … n − 1.
        seed: of random methods.
        batch_size: images that may pass the network at once; at least 1.
        background: float32 (k, c, h, w), typical images, for the methods that compare with them (`deeplift_shap`).

    Returns:
        float32 (n, h, w), on the CPU.

    Raises:
        SaqEvalError: an unknown method or parameter, counts that differ, a network that has a layer
            for which the method has no rule, or no background where the method needs one.
    """
    explainer = find_explainer(method) if isinstance(method, str) else method
    chosen = explainer.method
    indices = range(len(images)) if indices is None else indices
    if not len(images) == len(targets) == len(indices):
        raise SaqEvalError(f"{len(images)} images go with {len(targets)} targets and {len(indices)} indices")
    if batch_size < 1:
        raise SaqEvalError(f"batch_size is at least 1, not {batch_size}")
    if chosen.needs_background and (background is None or not len(background)):
        raise SaqEvalError(f"{explainer.label} compares with typical images: give it some as `background`")
    if chosen.layers is not None:
        free = [name for name, other in METHODS.items() if other.layers is None and other.family != "control"]
        network = rules.explainable(network, chosen.layers, chosen.name, ", ".join(free))
    chunk = max(1, batch_size // chosen.in_flight)
    maps = []
    for start in range(0, len(images), chunk):
        part = slice(start, start + chunk)
        batch = Batch(
            network,
            images[part].detach().clone().requires_grad_(),  # a leaf of its own: nothing of it outlives the chunk
            targets[part],
            [derived_seed(seed, chosen.name, int(index)) for index in indices[part]],
            background,
            batch_size,
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module="captum")  # that it sets hooks
            attributions = chosen.attribute(batch, **explainer.parameters).detach()
        attributions = attributions.abs() if chosen.sign == "absolute" else attributions
        maps.append(attributions.sum(dim=1).float().cpu())
    return torch.cat(maps) if maps else torch.zeros(0, *images.shape[2:])


def baseline_images(images: Tensor, baseline: Baseline) -> Tensor:
    """Return the images that show nothing, for images (n, c, h, w).

    Args:
        baseline: "black" (0), "mean" (each image's mean colour) or "blur" (the image under a Gaussian
            of a seventh of its height, 4 pixels of 28, as standard deviation).
    """
    pixels = images.detach()
    if baseline == "black":
        return torch.zeros_like(pixels)
    if baseline == "mean":
        return pixels.mean(dim=(2, 3), keepdim=True).expand_as(pixels).clone()
    sigma = pixels.shape[2] / 7
    blurred = [gaussian(image, sigma=sigma, channel_axis=0, mode="nearest") for image in pixels.cpu().numpy()]
    return torch.from_numpy(np.stack(blurred)).to(pixels)


def superpixels(images: Tensor, segments: int) -> Tensor:
    """Return about so many superpixels of each image (SLIC, Achanta et al. 2012; scikit-image): int64 (n, 1, h, w) from 0.

    Compactness 0.1 is scikit-image's proposal for grey values from 0 to 1; on a plain ground superpixels are squares.
    """
    masks = [
        slic(image, n_segments=segments, compactness=0.1, channel_axis=0, start_label=0)
        for image in images.detach().cpu().numpy()
    ]
    return torch.from_numpy(np.stack(masks)).to(images.device, torch.int64).unsqueeze(1)


def _gradients(batch: Batch, points: Tensor) -> Tensor:
    """Return the gradients at several points for each image: (n, m, c, h, w) -> same shape, in chunks of the batch size."""
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
    passes=lambda parameters: parameters["n_steps"],
)
def integrated_gradients(batch: Batch, *, n_steps: Count = 32, baseline: Baseline = "black") -> Tensor:
    """The gradient averaged over Gauss-Legendre points of the straight path from the baseline, times the difference to it."""
    return IntegratedGradients(batch.network).attribute(
        batch.images,
        baselines=baseline_images(batch.images, baseline),
        target=batch.targets,
        n_steps=n_steps,
        internal_batch_size=max(batch.batch_size, len(batch.images)),
    )


@register_method(
    "smoothgrad",
    family="gradient",
    reference="Smilkov et al. 2017, arXiv 1706.03825",
    sign="absolute",
    passes=lambda parameters: parameters["n_samples"],
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
    passes=lambda parameters: parameters["n_samples"],
    random=True,
)
def vargrad(batch: Batch, *, n_samples: Annotated[int, Field(ge=2)] = 25, stdev: Positive = 0.15) -> Tensor:
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
    passes=lambda parameters: parameters["n_samples"],
    random=True,
)
def gradient_shap(
    batch: Batch, *, n_samples: Count = 25, stdev: NotNegative = 0.09, baseline: Baseline = "black"
) -> Tensor:
    """Expected gradients: over random points between noisy images and the baseline, the gradient times the difference."""
    noisy = _noisy(batch, n_samples, stdev)
    positions = batch.draw(
        # A generator of its own for the positions: the noise stays the same whatever the number of samples.
        lambda generator: torch.rand(n_samples, 1, 1, 1, generator=generator.manual_seed(generator.initial_seed() + 1))
    )
    start = baseline_images(batch.images, baseline).unsqueeze(1)
    difference = noisy - start
    return (_gradients(batch, start + positions * difference) * difference).mean(dim=1)


@register_method(
    "guided_backprop",
    family="rules",
    reference="Springenberg et al. 2015, arXiv 1412.6806",
    layers=rules.GUIDED_LAYERS,
)
def guided_backprop(batch: Batch) -> Tensor:
    """The gradient of which each rectifier lets through the positive part."""
    return GuidedBackprop(batch.network).attribute(batch.images, target=batch.targets)


@register_method(
    "deconvolution", family="rules", reference="Zeiler and Fergus 2014, arXiv 1311.2901", layers=rules.GUIDED_LAYERS
)
def deconvolution(batch: Batch) -> Tensor:
    """The backward signal rectified at each rectifier, whatever the rectifier's input was."""
    return Deconvolution(batch.network).attribute(batch.images, target=batch.targets)


@register_method(
    "deeplift",
    family="rules",
    reference="Shrikumar et al. 2017, arXiv 1704.02685",
    layers=rules.DEEPLIFT_LAYERS,
    in_flight=2,
    passes=lambda parameters: 2,
)
def deeplift(batch: Batch, *, baseline: Baseline = "black") -> Tensor:
    """DeepLIFT's Rescale rule: what each pixel's difference to the baseline adds to the logit's."""
    return _deeplift(batch, batch.images, baseline_images(batch.images, baseline), batch.targets)


@register_method(
    "deeplift_shap",
    family="rules",
    reference="Lundberg and Lee 2017, arXiv 1705.07874",
    layers=rules.DEEPLIFT_LAYERS,
    needs_background=True,
    in_flight=2,
    passes=lambda parameters: 2 * parameters["n_background"],
)
def deeplift_shap(batch: Batch, *, n_background: Count = 10) -> Tensor:
    """DeepLIFT averaged over typical images as baselines."""
    references = batch.background[:n_background].to(batch.images)
    pairs = max(1, batch.batch_size // 2)
    total = torch.zeros_like(batch.images, dtype=torch.float64)
    for reference in references:
        for start in range(0, len(total), pairs):
            part = slice(start, start + pairs)
            images = batch.images[part].detach()
            total[part] += _deeplift(batch, images, reference.expand_as(images), batch.targets[part])
    return total / len(references)


def _deeplift(batch: Batch, images: Tensor, references: Tensor, targets: Tensor) -> Tensor:
    # In double precision, and with differences below 1e-5 taken as none: where a quantizer's output jumps by a step
    # between two almost equal inputs, the multiplier has no bound, and single precision loses what it multiplies.
    network = batch.network.double()
    try:
        return (
            DeepLift(network, eps=1e-5)
            .attribute(images.detach().double().requires_grad_(), references.double(), target=targets)
            .detach()
        )
    finally:
        network.float()


@register_method(
    "lrp",
    family="rules",
    reference="Bach et al. 2015, doi 10.1371/journal.pone.0130140; Kohlbrenner et al. 2020, arXiv 1910.09840",
    layers=rules.LRP_LAYERS,
)
def lrp(
    batch: Batch,
    *,
    convolution: Literal["zplus", "gamma"] = "zplus",
    gamma: NotNegative = 0.25,
    epsilon: Positive = 1e-6,
) -> Tensor:
    """Layer-wise relevance propagation, composite ε⁺: z⁺ (or γ) in convolutions, ε in linear layers."""
    return _relevance(batch, convolution, gamma, epsilon)


@register_method(
    "lrp_epsilon",
    family="rules",
    reference="Bach et al. 2015, doi 10.1371/journal.pone.0130140",
    layers=rules.LRP_LAYERS,
)
def lrp_epsilon(batch: Batch, *, epsilon: Positive = 1e-6) -> Tensor:
    """Layer-wise relevance propagation with the ε rule throughout; on ReLU networks about input × gradient."""
    return _relevance(batch, "epsilon", 0.0, epsilon)


def _relevance(batch: Batch, convolution: str, gamma: float, epsilon: float) -> Tensor:
    images = batch.images.detach().double().requires_grad_()
    network = batch.network.double()
    try:
        with rules.lrp_composite(convolution, gamma, epsilon).context(network) as modified:
            logits = modified(images)
            start = torch.zeros_like(logits).scatter_(1, batch.targets[:, None], 1.0) * logits.detach()
            (relevance,) = torch.autograd.grad(logits, images, start)
    finally:
        network.float()
    return relevance


@register_method("gradcam", family="class activation", reference="Selvaraju et al. 2017, arXiv 1610.02391")
def gradcam(batch: Batch, *, layer: str = "last") -> Tensor:
    """Grad-CAM: the positive part of the feature maps weighted by their mean gradients, at the last rectifier with an image."""
    cam = LayerGradCam(batch.network, _spatial_layer(batch.network, batch.images[:1], layer))
    coarse = cam.attribute(batch.images, target=batch.targets, relu_attributions=True)
    return F.interpolate(coarse, batch.images.shape[2:], mode="bilinear", align_corners=False)


@register_method(
    "guided_gradcam",
    family="class activation",
    reference="Selvaraju et al. 2017, arXiv 1610.02391",
    layers=rules.GUIDED_LAYERS,
    passes=lambda parameters: 2,
)
def guided_gradcam(batch: Batch, *, layer: str = "last") -> Tensor:
    """Guided backpropagation times Grad-CAM."""
    return guided_backprop(batch).detach() * gradcam(batch, layer=layer).detach()


def _spatial_layer(network: nn.Module, image: Tensor, layer: str) -> nn.Module:
    """Return a layer by name, or the last rectifier (else the last convolution) whose output has spatial extent.

    Raises:
        SaqEvalError: if there is none.
    """
    found: list[tuple[str, nn.Module]] = []

    def note(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.dim() == 4 and max(output.shape[2:]) > 1:
            found.append((name, module))

    handles = [
        module.register_forward_hook(functools.partial(note, name))
        for name, module in network.named_modules()
        if not any(module.children())
    ]
    try:
        with torch.no_grad():
            network(image)
    finally:
        for handle in handles:
            handle.remove()
    # In a copy with rules the layers that were replaced have other names; the name before counts.
    named = {name.removesuffix("_explained"): module for name, module in found}
    if layer != "last":
        if layer not in named:
            raise unknown_name("layer with spatial extent", layer, named)
        return named[layer]
    for kinds in (rules.RECTIFIERS + (rules.ClippedReLU,), (nn.Conv2d,)):
        last = [module for _, module in found if isinstance(module, kinds)][-1:]
        if last:
            return last[0]
    raise SaqEvalError("gradcam needs a rectifier or convolution with spatial extent, and the network has none")


@register_method(
    "occlusion",
    family="perturbation",
    reference="Zeiler and Fergus 2014, arXiv 1311.2901",
    passes=lambda parameters: 1 + (-(-(28 - min(28, parameters["window"])) // parameters["stride"]) + 1) ** 2,
)
def occlusion(batch: Batch, *, window: Count = 7, stride: Count = 3, baseline: Baseline = "black") -> Tensor:
    """The drop of the logit under a window of the baseline that moves over the image; averaged where windows overlap."""
    channels, height, width = batch.images.shape[1:]
    shape = (channels, min(window, height), min(window, width))
    with torch.no_grad():
        return Occlusion(batch.network).attribute(
            batch.images.detach(),
            sliding_window_shapes=shape,
            strides=(channels, min(stride, shape[1]), min(stride, shape[2])),
            baselines=baseline_images(batch.images, baseline),
            target=batch.targets,
        )


@register_method(
    "feature_ablation",
    family="perturbation",
    reference="Captum; superpixels by Achanta et al. 2012, doi 10.1109/TPAMI.2012.120",
    passes=lambda parameters: parameters["segments"] + 1,
)
def feature_ablation(batch: Batch, *, segments: Count = 50, baseline: Baseline = "black") -> Tensor:
    """The drop of the logit when a superpixel (SLIC) is replaced by the baseline."""
    masks = superpixels(batch.images, segments)
    with torch.no_grad():
        return FeatureAblation(batch.network).attribute(
            batch.images.detach(),
            baselines=baseline_images(batch.images, baseline),
            feature_mask=masks.expand_as(batch.images),
            target=batch.targets,
        )


@register_method(
    "kernel_shap",
    family="perturbation",
    reference="Lundberg and Lee 2017, arXiv 1705.07874",
    passes=lambda parameters: parameters["n_samples"],
    random=True,
)
def kernel_shap(batch: Batch, *, n_samples: Count = 200, segments: Count = 50, baseline: Baseline = "black") -> Tensor:
    """Shapley values of superpixels (SLIC), estimated by a weighted linear regression on random coalitions."""
    return _surrogate(batch, KernelShap(batch.network), n_samples, segments, baseline)


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
    segments: Count = 50,
    ridge: NotNegative = 1.0,
    baseline: Baseline = "black",
) -> Tensor:
    """The weights of a local ridge regression on random sets of superpixels (SLIC)."""
    return _surrogate(
        batch, Lime(batch.network, interpretable_model=SkLearnRidge(alpha=ridge)), n_samples, segments, baseline
    )


def _surrogate(batch: Batch, method: Lime, n_samples: int, segments: int, baseline: Baseline) -> Tensor:
    maps = []
    for one in batch.singly():
        mask = superpixels(one.images, segments)
        with torch.no_grad(), global_seed(one.seeds[0]):
            maps.append(
                method.attribute(
                    one.images.detach(),
                    baselines=baseline_images(one.images, baseline),
                    feature_mask=mask.expand_as(one.images),
                    target=one.targets,
                    n_samples=n_samples,
                    perturbations_per_eval=batch.batch_size,
                )
            )
    return torch.cat(maps)


@register_method(
    "rise",
    family="perturbation",
    reference="Petsiuk et al. 2018, arXiv 1806.07421",
    passes=lambda parameters: parameters["n_masks"],
    random=True,
)
def rise(
    batch: Batch, *, n_masks: Count = 500, cells: Count = 7, keep: Share = 0.5, baseline: Baseline = "black"
) -> Tensor:
    """How the logit goes with a pixel's visibility under smooth random masks: their covariance over the mask's variance."""
    maps = []
    height, width = batch.images.shape[2:]
    for one in batch.singly():
        masks = one.draw(functools.partial(_rise_masks, n_masks, cells, keep, height, width))[0]
        start = baseline_images(one.images, baseline)
        logits = []
        with torch.no_grad():
            for some in masks.split(batch.batch_size):
                shown = start + some * (one.images.detach() - start)
                logits.append(batch.network(shown)[:, one.targets[0]])
            centred = torch.cat(logits).double()
            centred = centred - centred.mean()
            covariance = (centred[:, None, None, None] * masks).mean(dim=0)
            maps.append((covariance / (keep * (1 - keep))).expand_as(one.images[0]) / len(one.images[0]))
    return torch.stack(maps)


def _rise_masks(count: int, cells: int, keep: float, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Draw masks as RISE does: coarse grids of zeros and ones, enlarged bilinearly, shifted by part of a cell: (count, 1, h, w)."""
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
