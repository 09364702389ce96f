"""`explain`: a network's saliency maps by a method. These policies hold for all methods:

- **Sign.** For an "absolute" method, the magnitudes of the attributions are used. For a "signed" method, attributions
  keep their sign.
- **Channels.** Attributions are summed over colour channels; for an absolute method, their magnitudes are summed. A
  method that hides whole pixels gives one value per pixel, so nothing is summed.
- **Noise.** Each image has its own generator, on the CPU, seeded by the seed, the method and the image's index. So a map
  does not depend on other images, on batches or on the order of calls, and two networks get the same noise.
- **Memory.** A pass of the network has at most `batch_size` images, and at most as many as fit into
  `saq_eval.networks.memory.BUDGET`; so do the copies of images that a method makes. Methods that pass an image together
  with its fill pass at least two.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from saq_eval.attribution import rules
from saq_eval.attribution.base import METHODS, Attribute, Batch, Explainer, Method, Shape, find_explainer
from saq_eval.core.errors import SaqEvalError, SaqEvalWarning, Unsupported, first_line, in_short
from saq_eval.core.randomness import derived_seed
from saq_eval.networks.batches import ONE_BY_ONE
from saq_eval.networks.memory import at_once, bytes_per_image
from saq_eval.networks.modules import as_module
from saq_eval.networks.private import Facts, look_at, look_at_logits, precision, private, readable_in_batches
from saq_eval.quantization.convert import freeze


def explain(
    method: str | Explainer | Attribute,
    network: nn.Module | Callable[[Tensor], Any],
    images: Tensor,
    targets: Tensor,
    *,
    indices: Sequence[int] | None = None,
    seed: int = 0,
    batch_size: int = 64,
    background: Tensor | None = None,
) -> Tensor:
    """Return the saliency maps of a network's logits for given classes.

    Signs, channels and noise are handled as the module's docstring says. A map may be constant, for example all zero if a
    quantized network clips everything; it is returned as it is. The network itself is not changed: a copy in eval mode
    is explained (see `saq_eval.networks.private`). The function also works under `torch.no_grad()`.

    Args:
        method: a registered name, optionally with parameters: "integrated_gradients:n_steps=64"; or a function, see
            `find_explainer`.
        network: (n, c, h, w) -> logits (n, classes). If a row depends on other images, as by dynamic quantization, images
            pass one at a time, and a warning says so. A module or a function; see
            `saq_eval.networks.modules.as_module`, and `read_logits` there for what it may return. A module is copied to
            the images' device; a function has to read images on that device.
        images: floating point (n, c, h, w) in [0, 1].
        targets: integers (n,), the class to explain in each image, counted from 0.
        indices: (n,), the images' identities, which seed the noise of random methods; by default 0 … n − 1.
        seed: the seed of random methods.
        batch_size: the largest number of images that may pass through the network at once; at least 1. Fewer pass if so
            many would not fit into `saq_eval.networks.memory.BUDGET`.
        background: floating point (k, c, h, w), typical images, for the methods that compare with them
            (`deeplift_shap`).

    Returns:
        float32 (n, h, w), on the CPU.

    Raises:
        Unsupported: the network lacks what the method needs: a gradient that reaches the image, a rule for each layer, a
            convolution.
        SaqEvalError: an unknown method or parameter; counts that differ; images, targets or background of a wrong shape
            or type; pixels that are not finite; or a network that returns no finite logits, or logits that depend on the
            other images of a batch or on chance.
    """
    explainer = method if isinstance(method, Explainer) else find_explainer(method)
    indices = range(len(images)) if indices is None else indices
    _check_call(explainer, images, targets, indices, batch_size, background)
    # These undo the caller's contexts: methods need gradients, and maps must depend only on the arguments.
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(images.device.type, enabled=False):
        own = private(network, images.device)
        images = images.detach().to(precision(own), copy=True)  # tensors of inference mode have no gradient
        targets = _checked_targets(targets).to(images.device, copy=True)
        background = None if background is None else background.detach().to(images, copy=True)
        if len(images):
            own = _ready(
                explainer.method, network, own, images[:1], targets, max(batch_size, explainer.method.in_flight)
            )
        seeds = [derived_seed(seed, explainer.method.name, int(index)) for index in indices]
        return _in_chunks(explainer, Batch(own, images, targets, seeds, background, batch_size))


# Methods of at most so many passes are tried on an image to find out whether they can explain a network.
_CHEAP = 2


def refusal(
    explainer: Explainer,
    network: nn.Module | Callable[[Tensor], Any],
    images: Tensor,
    targets: Tensor,
    background: Tensor | None = None,
) -> str | None:
    """Return why a method cannot explain a network, as text for a table; `None` if it can.

    This takes a few passes of one image: a method of many passes is not run. It is only checked that a gradient reaches
    the image, or that there is a rule for each layer.

    Args:
        explainer: the method.
        network, images, targets, background: as for `explain`; the first image is enough.

    Returns:
        `Unsupported.reason`, such as "no gradient reaches the image".

    Raises:
        SaqEvalError: as `explain` does, for everything that is wrong with the arguments, or with the network for any method.
    """
    try:
        if explainer.passes(_shape(images)) <= _CHEAP or explainer.method.family == "class activation":
            explain(explainer, network, images[:1], targets[:1], background=background)
        else:
            _check_call(explainer, images, targets, range(len(images)), 2, background)
            with torch.inference_mode(False), torch.enable_grad(), torch.autocast(images.device.type, enabled=False):
                own = private(network, images.device)
                image = images[:1].detach().to(precision(own), copy=True)
                _ready(explainer.method, network, own, image, _checked_targets(targets).to(image.device), 2)
    except Unsupported as error:
        return error.reason
    return None


def _in_chunks(explainer: Explainer, batch: Batch) -> Tensor:
    """Return the maps of all images, float32 (n, h, w); at most `batch_size` images pass through the network at once."""
    images = batch.images
    maps = torch.zeros(len(images), *images.shape[2:], dtype=torch.float32, device="cpu")
    chunk, passed = _numbers_at_once(explainer, batch)
    for start in range(0, len(images), chunk):
        part = slice(start, start + chunk)
        leaf = images[part].clone().requires_grad_()  # a new leaf, so that its gradients are freed with the chunk
        some = Batch(batch.network, leaf, batch.targets[part], batch.seeds[part], batch.background, passed)
        maps[part] = _maps(explainer, some)
    return maps


# About so many tensors of all copies of an image exist at once in a method that makes copies: the noise, the noisy images,
# their gradients one by one and together, and products of these.
_PER_COPY = 6


def _numbers_at_once(explainer: Explainer, batch: Batch) -> tuple[int, int]:
    """Return how many images are explained together, and how many may pass through the network at once."""
    method, images = explainer.method, batch.images
    if method.family == "control" or len(images) * batch.batch_size <= 1:
        return batch.batch_size, batch.batch_size
    passing = bytes_per_image(batch.network, images[:1])
    copied = _PER_COPY * method.copies(explainer.parameters) * images[0].numel() * images.element_size()
    fitting = min(at_once(method.load * passing, batch.batch_size), at_once(copied, batch.batch_size))
    return max(1, min(fitting, batch.batch_size // method.in_flight)), at_once(passing, batch.batch_size)


def _shape(images: Tensor) -> Shape:
    return images.shape[1], images.shape[2], images.shape[3]


def _maps(explainer: Explainer, batch: Batch) -> Tensor:
    """Return the maps of a batch, float32 (n, h, w), on the CPU."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="captum")  # Captum warns that it sets hooks
        attributions = _attributions(explainer, batch)
    attributions = attributions.abs() if explainer.method.sign == "absolute" else attributions
    n, channels, *size = batch.images.shape
    if attributions.shape not in {(n, channels, *size), (n, 1, *size)}:
        shapes = f"{tuple(attributions.shape)} for images {tuple(batch.images.shape)}"
        raise SaqEvalError(f"{explainer.label} returned attributions of shape {shapes}")
    if not torch.isfinite(attributions).all():
        raise SaqEvalError(f"{explainer.label} returned attributions that are not finite")
    return attributions.sum(dim=1).float().cpu()


def _attributions(explainer: Explainer, batch: Batch) -> Tensor:
    """Call a method, which may meet layers that it or torch cannot deal with."""
    try:
        attributions = explainer.method.attribute(batch, **explainer.parameters)
    except (SaqEvalError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        reason = f"it fails on this network: {first_line(error)}"
        image, target = batch.images[:1].detach(), batch.targets[:1]
        if explainer.method.name not in METHODS and look_at(batch.network, image, target, 1).gradient:
            raise SaqEvalError(
                f"{explainer.label}: {reason}"
            ) from error  # more likely a mistake in the user's function
        raise Unsupported(reason, who=explainer.label) from error
    if not isinstance(attributions, Tensor):
        raise SaqEvalError(f"{explainer.label} returned {in_short(attributions)}, not a tensor of attributions")
    return attributions.detach()


def _check_call(
    explainer: Explainer,
    images: Tensor,
    targets: Tensor,
    indices: Sequence[int],
    batch_size: int,
    background: Tensor | None,
) -> None:
    """Raise `SaqEvalError` for arguments of `explain` that do not fit together."""
    _check_images("images", images)
    if not len(images) == len(targets) == len(indices):
        raise SaqEvalError(f"{len(images)} images go with {len(targets)} targets and {len(indices)} indices")
    if batch_size < 1:
        raise SaqEvalError(f"batch_size is at least 1, not {batch_size}")
    if explainer.method.needs_background:
        if background is None or not len(background):
            raise SaqEvalError(f"{explainer.label} compares with typical images: give it some as `background`")
        _check_images("background", background)
        if background.shape[1:] != images.shape[1:]:
            shapes = f"{tuple(background.shape[1:])}, the images {tuple(images.shape[1:])}"
            raise SaqEvalError(f"background images have the images' shape: they are {shapes}")


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
    method: Method, given: object, network: nn.Module, image: Tensor, targets: Tensor, at_once: int
) -> nn.Module:
    """Return the copy of a private network that a method works on; raises `Unsupported` if the method cannot explain it.

    Args:
        given: the user's network.
        network: the private copy of `given`.
        image: (1, c, h, w), the first image.
        targets: int64 (n,).
        at_once: the largest number of images that may pass through the network at once.
    """
    read, facts = readable_in_batches(network, image, targets[:1], at_once)
    if read is not network:
        network = read
        warnings.warn(ONE_BY_ONE, SaqEvalWarning, stacklevel=3)
    if targets.max() >= facts.classes:
        raise SaqEvalError(f"targets lie between 0 and {facts.classes - 1} for this network, not {int(targets.max())}")
    if method.family == "gradient" and not facts.gradient:
        hiding = [name for name, other in METHODS.items() if other.family == "perturbation"]
        raise Unsupported(
            "no gradient reaches the image",
            "as through rounding without a straight-through gradient; "
            f"methods that hide pixels need none: {', '.join(hiding)}",
            method.name,
        )
    if method.layers is not None:
        try:
            copied = look_at_logits(rules.explainable(network, method.layers, method.name))
            rules.check_the_same(copied, network, image)
            if not facts.gradient:
                raise Unsupported("no gradient reaches the image", who=method.name)
        except Unsupported as error:
            works = _what_works_instead(method, given, network, image, targets[:1], at_once, facts)
            advice = "; ".join(filter(None, (error.advice, works)))
            raise Unsupported(error.reason, advice, method.name) from error
        return copied
    return rules.by_layers(network, image) if method.family == "class activation" else network


def _what_works_instead(
    method: Method,
    given: object,
    network: nn.Module,
    image: Tensor,
    target: Tensor,
    at_once: int,
    facts: Facts,
) -> str:
    """Return advice for a network with layers that a method has no rules for; everything it names has been tried."""

    def succeeds(attempt: Callable[[], object]) -> bool:
        try:
            attempt()
        except Exception:  # an attempt with a user's network may raise anything
            return False
        return True

    def by_freezing() -> None:
        assert method.layers is not None
        frozen = freeze(as_module(given))
        rules.explainable(frozen, method.layers, method.name)
        look_at(frozen, image, target, at_once)

    def works(name: str, other: Method) -> bool:
        if other.family == "class activation":
            return succeeds(lambda: explain(name, network, image, target, batch_size=at_once))
        return other.family == "perturbation" or (other.family == "gradient" and facts.gradient)

    others = [name for name, other in METHODS.items() if other.layers is None and works(name, other)]
    advice = f"methods that need no rules work: {', '.join(others)}"
    return f"it has one for all layers of `saq_eval.freeze(network)`; {advice}" if succeeds(by_freezing) else advice
