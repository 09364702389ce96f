"""The definition of an attribution method. The methods themselves are in the other modules of this package.

Every method explains the logit of a given class, over pixels in [0, 1]. Captum computes the maps (Zennit for LRP). This
package adds rules for quantized layers (`rules`), and the policies of `explaining`.
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
from saq_eval.core.errors import check_choice
from saq_eval.core.registry import Registry
from saq_eval.core.specs import fill_parameters, label, parse_spec

Family = Literal["gradient", "rules", "class activation", "perturbation", "control"]
Sign = Literal["signed", "absolute"]


@dataclass(frozen=True)
class Batch:
    """The input of a method: a network, some images, and the class to explain for each image.

    Attributes:
        network: pixels (n, c, h, w) in [0, 1] -> logits (n, classes); a private copy in eval mode (see `subject`). A
            method with rules gets the copy by `rules.explainable`, a class activation method that by `rules.by_layers`.
        images: (n, c, h, w), float32, or float64 if the network computes in float64; a leaf that requires a gradient.
        targets: int64 (n,), the classes to explain.
        seeds: n seeds, one for the noise of each image.
        background: (k, c, h, w), typical images to compare with, of the images' type; `None` unless the method needs them.
        batch_size: the largest number of images that may pass through the network at once.
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
        name: the name on the command line.
        family: the kind of computation.
        reference: the paper.
        sign: "signed" if positive values mean that a pixel speaks for the class; "absolute" if maps are magnitudes,
            because the sign says nothing about the class (as for a gradient). It is the same for every network.
        passes: a function from its parameters to the number of passes (forward, or forward and backward) of the network
            for one 28x28 image.
        attribute: (batch, **parameters) -> attributions (n, c, h, w), or (n, 1, h, w) if they are for whole pixels;
            its keyword-only parameters are the method's parameters, see `saq_eval.core.specs`.
        random: whether it draws noise.
        needs_background: whether it compares with typical images.
        layers: for a method with rules, the classes of layers that it has a rule for; else `None`.
        in_flight: the number of images that pass through the network at once for each explained image.
        code: identifies the version of the method's code: a checksum of the module that defines it and of the packages
            that all maps depend on.
    """

    name: str
    family: Family
    reference: str
    sign: Sign
    passes: Callable[[dict[str, Any]], int]
    attribute: Attribute
    random: bool = False
    needs_background: bool = False
    layers: tuple[type[nn.Module], ...] | None = None
    in_flight: int = 1
    code: str = ""

    @property
    def description(self) -> str:
        """The first line of the function's docstring, which says what the method computes."""
        return (inspect.getdoc(self.attribute) or "").partition("\n")[0]

    @property
    def needs(self) -> str:
        """The method's requirements for the network and the data, as text."""
        needs = [
            *(["known layers"] if self.layers else []),
            *(["gradients"] if self.family in ("gradient", "class activation") else []),
            *(["a convolution"] if self.family == "class activation" else []),
            *(["background images"] if self.needs_background else []),
        ]
        return ", ".join(needs) or ("nothing" if self.family == "control" else "logits only")


# The packages that all maps depend on, in addition to the method's own module.
CODE = ("core", "data", "networks", "quantization", "attribution")

METHODS: Registry[Method] = Registry("method", any_case=True)


def register_method(
    name: str,
    *,
    family: Family,
    reference: str,
    sign: Sign = "signed",
    passes: Callable[[dict[str, Any]], int] = lambda parameters: 1,
    random: bool = False,
    needs_background: bool = False,
    layers: tuple[type[nn.Module], ...] | None = None,
    in_flight: int = 1,
) -> Callable[[Attribute], Attribute]:
    """Register the decorated function as an attribution method; see `Method` for the arguments.

    The first line of the function's docstring says what it computes. Reports print this line and the parameters.

    Raises:
        SaqEvalError: an unknown family or sign, or a name that is taken.
    """

    check_choice("family", family, Family)
    check_choice("sign", sign, Sign)

    def register(attribute: Attribute) -> Attribute:
        code = _checksum_of_code(attribute)
        METHODS.add(
            name,
            Method(name, family, reference, sign, passes, attribute, random, needs_background, layers, in_flight, code),
        )
        return attribute

    return register


def _checksum_of_code(attribute: Attribute) -> str:
    # The checksum is of the whole module, since a function may call others in it. A notebook's cell or a closure depends
    # on more than a file. It gets a new code at each registration, so its stored maps are not used for a later version.
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
        """The method's name with the parameters that differ from their defaults, such as `occlusion:window=5`."""
        return label(self.method.name, self.parameters, self.method.attribute)

    @property
    def passes(self) -> int:
        """The number of passes of the network for one 28x28 image."""
        return self.method.passes(self.parameters)

    @property
    def settings(self) -> str:
        """All parameters, in the form used on the command line."""
        return ",".join(f"{key}={value}" for key, value in self.parameters.items())


def find_explainer(spec: str) -> Explainer:
    """Return a method with parameters from a text such as `integrated_gradients:n_steps=64,fill=blur`.

    Raises:
        SaqEvalError: an unknown method or parameter, or a value that the parameter does not take.
    """
    name, given = parse_spec(spec)
    method = METHODS[name]
    return Explainer(method, fill_parameters(name, method.attribute, given))
