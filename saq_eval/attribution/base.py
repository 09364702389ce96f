"""What an attribution method is, and `explain`; the methods are in the modules beside this one.

Every method explains the logit of a given class, over pixels in [0, 1]. Captum does the work (Zennit,
for LRP); this package adds what they must know of quantized layers (`rules`), and these policies:

- **Sign.** A "signed" method keeps its sign: positive where a pixel speaks for the class. An
  "absolute" method's map is a magnitude, since its sign says nothing of the class, as a gradient's
  does not. It is the same for every network.
- **Channels.** Attributions are summed over colour channels, of an absolute method their magnitudes. A method that
  hides whole pixels attributes to whole pixels: there is nothing to sum.
- **Noise.** Each image draws from a generator of its own, on the CPU, seeded by the seed, the method
  and the image's own index: so maps depend on no other image, on no batch and on no order of calls, and
  two networks see the same noise.
- **Memory.** No pass of the network holds more than `batch_size` images (two, if that is one, for the
  methods that pass an image together with its fill).
"""

from __future__ import annotations

import inspect
import uuid
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from saq_eval.attribution import rules, subject
from saq_eval.core.code import checksum_of_packages
from saq_eval.core.errors import SaqEvalError, in_short
from saq_eval.core.randomness import derived_seed
from saq_eval.core.registry import Registry
from saq_eval.core.specs import fill_parameters, find_several, label, parse_spec
from saq_eval.quantization.convert import freeze

Family = Literal["gradient", "rules", "class activation", "perturbation", "control"]


@dataclass(frozen=True)
class Batch:
    """What a method explains: some images' classes.

    Attributes:
        network: pixels (n, c, h, w) in [0, 1] -> logits (n, classes); a private copy in eval mode (see `subject`), for
            a method with rules `rules.explainable`'s, for one of class activation `rules.by_layers`'.
        images: float32, float64 where the network computes in it, (n, c, h, w), a leaf that requires a gradient.
        targets: int64 (n,).
        seeds: n seeds, of the noise of each image.
        background: as the images (k, c, h, w), typical ones to compare with; none unless the method needs them.
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
        attribute: (batch, **parameters) -> attributions (n, c, h, w), or (n, 1, h, w) where they are whole pixels';
            its keyword-only parameters are the method's, see `saq_eval.core.specs`.
        random: whether it draws noise.
        needs_background: whether it compares with typical images.
        layers: for a method with rules, the kinds of layers that it has a rule for; else none.
        in_flight: images that pass the network at once for each image explained.
        code: tells it from another version of itself: a checksum of the module that defines it, and of what saq_eval
            computes every map with.
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
    code: str = ""

    @property
    def description(self) -> str:
        """What it computes: the first line of the function's docstring."""
        return inspect.getdoc(self.attribute).partition("\n")[0]

    @property
    def needs(self) -> str:
        """What it needs of the network and the data, in words."""
        needs = [
            *(["known layers"] if self.layers else []),
            *(["gradients"] if self.family in ("gradient", "class activation") else []),
            *(["a convolution"] if self.family == "class activation" else []),
            *(["background images"] if self.needs_background else []),
        ]
        return ", ".join(needs) or ("nothing" if self.family == "control" else "logits only")


# The packages that maps rest on, beside the method's own module.
CODE = ("core", "data", "networks", "quantization", "attribution")

METHODS: Registry[Method] = Registry("method", any_case=True)


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
        code = _checksum_of_code(attribute)
        METHODS.add(
            name,
            Method(name, family, reference, sign, passes, attribute, random, needs_background, layers, in_flight, code),
        )
        return attribute

    return register


def _checksum_of_code(attribute: Attribute) -> str:
    # Of the whole module, since a function calls others. What depends on more than a file, as a notebook's cell or a
    # closure does, counts as another method each time, so that maps by it are never taken for those of the next.
    module = inspect.getmodule(attribute)
    alone = inspect.isfunction(attribute) and not attribute.__closure__
    if alone and getattr(module, "__file__", None) == attribute.__code__.co_filename:
        return f"{zlib.crc32(inspect.getsource(module).encode()):08x}-{checksum_of_packages(*CODE)}"
    return uuid.uuid4().hex


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
        """All parameters, as the command line would take them."""
        return ",".join(f"{key}={value}" for key, value in self.parameters.items())


def find_explainer(spec: str) -> Explainer:
    """Return a method with parameters from a text such as `integrated_gradients:n_steps=64,fill=blur`.

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
    return find_several("method", specs, method_sets(), METHODS, find_explainer)


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
    zero, where a quantized network clips everything): nothing is made up for it. The network itself is
    left alone: a copy in eval mode is explained (see `subject`), also under `torch.no_grad()`.

    Args:
        method: a registered name, with parameters where wanted: "integrated_gradients:n_steps=64".
        network: (n, c, h, w) -> logits (n, classes), each row of its own image alone.
        images: floating point (n, c, h, w) in [0, 1], on the network's device.
        targets: integers (n,), the class to explain in each image, counted from 0.
        indices: (n,) identities of the images, from which random methods draw their noise; by default 0 … n − 1.
        seed: of random methods.
        batch_size: images that may pass the network at once; at least 1.
        background: floating point (k, c, h, w), typical images, for the methods that compare with them
            (`deeplift_shap`).

    Returns:
        float32 (n, h, w), on the CPU.

    Raises:
        SaqEvalError: an unknown method or parameter, counts that differ, images, targets or background of another
            shape or type, pixels that are not finite, a network that returns no finite logits or mixes the images of
            a batch, and where the network or the call lacks what the method needs: a rule for each layer, a gradient
            that reaches the image, a background.
    """
    explainer = find_explainer(method) if isinstance(method, str) else method
    chosen = explainer.method
    indices = range(len(images)) if indices is None else indices
    _check_images("images", images)
    if not len(images) == len(targets) == len(indices):
        raise SaqEvalError(f"{len(images)} images go with {len(targets)} targets and {len(indices)} indices")
    if batch_size < 1:
        raise SaqEvalError(f"batch_size is at least 1, not {batch_size}")
    if chosen.needs_background:
        if background is None or not len(background):
            raise SaqEvalError(f"{explainer.label} compares with typical images: give it some as `background`")
        _check_images("background", background)
        if background.shape[1:] != images.shape[1:]:
            shapes = f"{tuple(background.shape[1:])}, the images {tuple(images.shape[1:])}"
            raise SaqEvalError(f"background images have the images' shape: they are {shapes}")
    # Whatever surrounds the call: methods need gradients, and maps are to depend on nothing but the arguments.
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(images.device.type, enabled=False):
        private = subject.private(network)
        images = images.detach().to(subject.precision(private), copy=True)  # tensors of inference mode have no gradient
        targets = _checked_targets(targets).to(images.device, copy=True)
        background = None if background is None else background.detach().to(images, copy=True)
        if len(images):
            private = _ready(chosen, network, private, images[:1], targets, max(batch_size, chosen.in_flight))
        maps = torch.zeros(len(images), *images.shape[2:], dtype=torch.float32, device="cpu")
        chunk = max(1, batch_size // chosen.in_flight)
        for start in range(0, len(images), chunk):
            part = slice(start, start + chunk)
            batch = Batch(
                private,
                images[part].clone().requires_grad_(),  # a leaf of its own: nothing of it outlives the chunk
                targets[part],
                [derived_seed(seed, chosen.name, int(index)) for index in indices[part]],
                background,
                batch_size,
            )
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", category=UserWarning, module="captum")  # that it sets hooks
                attributions = chosen.attribute(batch, **explainer.parameters).detach()
            attributions = attributions.abs() if chosen.sign == "absolute" else attributions
            n, channels, *size = batch.images.shape
            if attributions.shape not in {(n, channels, *size), (n, 1, *size)}:
                shapes = f"{tuple(attributions.shape)} for images {tuple(batch.images.shape)}"
                raise SaqEvalError(f"{explainer.label} returned attributions of shape {shapes}")
            if not torch.isfinite(attributions).all():
                raise SaqEvalError(f"{explainer.label} returned attributions that are not finite")
            maps[part] = attributions.sum(dim=1).float().cpu()
    return maps


def _check_images(name: str, images: Any) -> None:
    if not isinstance(images, Tensor) or images.dim() != 4 or not images.is_floating_point():
        given = f"{images.dtype} {tuple(images.shape)}" if isinstance(images, Tensor) else f"a {type(images).__name__}"
        raise SaqEvalError(f"{name} are a floating-point tensor (n, c, h, w) of pixels in [0, 1], not {given}")
    if not min(images.shape[1:]):
        raise SaqEvalError(f"{name} of shape {tuple(images.shape)} have no pixels")
    if not torch.isfinite(images).all():
        raise SaqEvalError(f"{name} hold pixels that are not finite")


def _checked_targets(targets: Any) -> Tensor:
    integers = isinstance(targets, Tensor) and not (
        targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool
    )
    if not integers or targets.dim() != 1:
        given = f"{targets.dtype} {tuple(targets.shape)}" if isinstance(targets, Tensor) else in_short(targets)
        raise SaqEvalError(f"targets are a tensor of integers (n,), not {given}")
    if len(targets) and targets.min() < 0:
        raise SaqEvalError(f"targets are classes, counted from 0, not {int(targets.min())}")
    return targets.long()


def _ready(
    method: Method, given: nn.Module, network: nn.Module, image: Tensor, targets: Tensor, at_once: int
) -> nn.Module:
    """Return the copy of a private network that a method works on, if it can explain the network at all.

    Args:
        given: the user's network, of which `network` is the private copy.
        image: (1, c, h, w), the first.
        targets: int64 (n,).
        at_once: images that may pass the network at once.
    """
    facts = subject.look_at(network, image, targets[:1], at_once)
    if targets.max() >= facts.classes:
        raise SaqEvalError(f"targets lie between 0 and {facts.classes - 1} for this network, not {int(targets.max())}")
    hiding = [name for name, other in METHODS.items() if other.family == "perturbation"]
    if method.family == "gradient" and not facts.gradient:
        raise SaqEvalError(
            f"{method.name} needs a gradient, and none reaches the image through this network (as through rounding "
            f"without a straight-through gradient); methods that hide pixels need none: {', '.join(hiding)}"
        )
    if method.layers is not None:
        try:
            return subject.look_at_logits(rules.explainable(network, method.layers, method.name))
        except SaqEvalError as error:
            advice = _what_works_instead(method, given, network, image, targets[:1], at_once, facts)
            raise SaqEvalError(f"{error}; {advice}") from error
    return rules.by_layers(network) if method.family == "class activation" else network


def _what_works_instead(
    method: Method,
    given: nn.Module,
    network: nn.Module,
    image: Tensor,
    target: Tensor,
    at_once: int,
    facts: subject.Facts,
) -> str:
    """Say what can be done with a network for which a method has no rules; each has been tried."""

    def succeeds(attempt: Callable[[], object]) -> bool:
        try:
            attempt()
        except SaqEvalError:
            return False
        return True

    def by_freezing() -> None:
        frozen = freeze(given)
        rules.explainable(frozen, method.layers, method.name)
        subject.look_at(frozen, image, target, at_once)

    def works(name: str, other: Method) -> bool:
        if other.family == "class activation":
            return succeeds(lambda: explain(name, network, image, target, batch_size=at_once))
        return other.family == "perturbation" or (other.family == "gradient" and facts.gradient)

    others = [name for name, other in METHODS.items() if other.layers is None and works(name, other)]
    advice = f"methods that need no rules work: {', '.join(others)}"
    return f"it has one for all layers of `saq_eval.freeze(network)`; {advice}" if succeeds(by_freezing) else advice
