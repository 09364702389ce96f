"""What an attribution method is; the methods are in the modules beside this one.

Every method explains the logit of a given class, over pixels in [0, 1]. Captum does the work (Zennit, for LRP). This
package adds what they must know of quantized layers (`rules`), and the policies of `explaining`.
"""

from __future__ import annotations

import inspect
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from saq_eval.core.code import checksum_of_packages
from saq_eval.core.registry import Registry
from saq_eval.core.specs import fill_parameters, label, parse_spec

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
        sign: "signed" where a map is positive where a pixel speaks for the class; "absolute" where it is a magnitude,
            since its sign says nothing of the class, as a gradient's does not. It is the same for every network.
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
        return (inspect.getdoc(self.attribute) or "").partition("\n")[0]

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
    if module and alone and getattr(module, "__file__", None) == attribute.__code__.co_filename:
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
