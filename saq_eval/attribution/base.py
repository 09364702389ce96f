"""The definition of an attribution method. The methods themselves are in the other modules of this package.

Every method explains the logit of a given class, over pixels in [0, 1]. Captum computes the maps of most methods, Zennit
those of LRP. Methods that hide superpixels or random parts are computed here, for all images at once. This package adds
rules for quantized layers (`rules`), and the policies of `explaining`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from saq_eval.core.code import code_of
from saq_eval.core.errors import check_choice
from saq_eval.core.registry import Registry
from saq_eval.core.specs import fill_parameters, function_name, label, parse_spec, plain_function

Family = Literal["gradient", "rules", "class activation", "perturbation", "control"]
Sign = Literal["signed", "absolute"]
Shape = tuple[int, int, int]
Parameters = dict[str, Any]


@dataclass(frozen=True)
class Batch:
    """The input of a method: a network, some images, and the class to explain for each image.

    Attributes:
        network: pixels (n, c, h, w) in [0, 1] -> logits (n, classes); a private copy in eval mode (see `networks.private`). A
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
        return self.parts(1)

    def at(self, positions: Sequence[int]) -> Batch:
        """Return the images at some positions."""
        images, targets, seeds = self.images[positions], self.targets[positions], [self.seeds[p] for p in positions]
        return Batch(self.network, images, targets, seeds, self.background, self.batch_size)

    def parts(self, size: int) -> Iterator[Batch]:
        """Yield `size` images at a time; the last part may be smaller."""
        for start in range(0, len(self.seeds), size):
            part = slice(start, start + size)
            images, targets, seeds = self.images[part], self.targets[part], self.seeds[part]
            yield Batch(self.network, images, targets, seeds, self.background, self.batch_size)

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
        passes: (parameters, image shape (c, h, w)) -> the number of passes (forward, or forward and backward) of the
            network for one image.
        attribute: (batch, **parameters) -> attributions (n, c, h, w), or (n, 1, h, w) if they are for whole pixels;
            its keyword-only parameters are the method's parameters, see `saq_eval.core.specs`.
        random: whether it draws noise.
        needs_background: whether it compares with typical images.
        uses_network: whether its maps depend on the network, on its weights too; if not, all networks share them.
        layers: for a method with rules, the classes of layers that it has a rule for; else `None`.
        in_flight: the number of images that pass through the network at once for each explained image.
        resolve: (parameters, image shape (c, h, w)) -> the parameters that are used for such an image: those whose default
            is `None` get a value that depends on the image's size. It raises `SaqEvalError` for values that do not fit.
        copies: a function from its parameters to the number of copies of an image that it makes before it passes any.
        load: the memory that an image takes in its passes, over that in a pass of the network, forward and backward.
        code: identifies the version of the method's code: a checksum of the module that defines it and of the packages
            that all maps depend on.
    """

    name: str
    family: Family
    reference: str
    sign: Sign
    passes: Callable[[Parameters, Shape], int]
    attribute: Attribute
    random: bool = False
    needs_background: bool = False
    uses_network: bool = True
    layers: tuple[type[nn.Module], ...] | None = None
    in_flight: int = 1
    resolve: Callable[[Parameters, Shape], Parameters] = lambda parameters, shape: parameters
    copies: Callable[[Parameters], int] = lambda parameters: 1
    load: float = 1.0
    code: str = ""

    @property
    def description(self) -> str:
        """The first line of the function's docstring, which says what the method computes."""
        return (inspect.getdoc(self.attribute) or "").partition("\n")[0]

    @property
    def with_gradients(self) -> bool:
        """Whether its passes go forward and backward; otherwise they go forward alone."""
        return self.family in ("gradient", "class activation", "rules")

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
    passes: Callable[[Parameters, Shape], int] = lambda parameters, shape: 1,
    random: bool = False,
    needs_background: bool = False,
    uses_network: bool = True,
    layers: tuple[type[nn.Module], ...] | None = None,
    in_flight: int = 1,
    resolve: Callable[[Parameters, Shape], Parameters] = lambda parameters, shape: parameters,
    copies: Callable[[Parameters], int] = lambda parameters: 1,
    load: float = 1.0,
) -> Callable[[Attribute], Attribute]:
    """Register the decorated function as an attribution method; see `Method` for the arguments.

    The first line of the function's docstring says what it computes. Reports print this line and the parameters.

    Raises:
        SaqEvalError: an unknown family or sign, or a name that is taken.
    """

    check_choice("family", family, Family)
    check_choice("sign", sign, Sign)

    def register(attribute: Attribute) -> Attribute:
        method = Method(
            name=name,
            family=family,
            reference=reference,
            sign=sign,
            passes=passes,
            attribute=attribute,
            random=random,
            needs_background=needs_background,
            uses_network=uses_network,
            layers=layers,
            in_flight=in_flight,
            resolve=resolve,
            copies=copies,
            load=load,
            code=code_of(attribute, *CODE),
        )
        METHODS.add(name, method)
        return attribute

    return register


@dataclass(frozen=True)
class Explainer:
    """A method with its parameters.

    Attributes:
        method: the method.
        parameters: all of its parameters; `None` for a value that depends on the image's size.
    """

    method: Method
    parameters: Parameters = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The method's name with the parameters that differ from their defaults, such as `occlusion:window=5`."""
        return label(self.method.name, self.parameters, self.method.attribute)

    def passes(self, shape: Shape) -> int:
        """Return the number of passes of the network for one image of shape (c, h, w)."""
        return self.method.passes(self.settings(shape), shape)

    def settings(self, shape: Shape) -> Parameters:
        """Return all parameters as they are used for images of shape (c, h, w).

        Raises:
            SaqEvalError: a parameter that does not fit such an image.
        """
        return self.method.resolve(self.parameters, shape)


def find_explainer(spec: str | Attribute) -> Explainer:
    """Return a method with parameters from a text such as `integrated_gradients:n_steps=64,fill=blur`, or from a function.

    A function is a method without registration. It is called as `Method.attribute` is; a `functools.partial` of one sets
    its parameters. Its name is the label. Its attributes `family`, `sign`, `reference`, `passes` (a number), `random` and
    `needs_background` mean what those of `Method` mean. Without them it is a "perturbation", which needs logits only, and
    "signed"; if it fails on a network through which no gradient reaches the image, this is taken for the reason.

    Raises:
        SaqEvalError: an unknown method or parameter, or a value that the parameter does not take; a function without a
            valid name, or whose name is that of a registered method.
    """
    if not isinstance(spec, str) and callable(spec):
        method = _method_of(spec)
        return Explainer(method, fill_parameters(method.name, method.attribute, getattr(spec, "keywords", {})))
    name, given = parse_spec(spec) if isinstance(spec, str) else (spec, {})
    method = METHODS[name]
    return Explainer(method, fill_parameters(name, method.attribute, given))


def _method_of(function: Attribute) -> Method:
    name, function = function_name("method", function, METHODS), plain_function("method", function)
    family: Any = getattr(function, "family", "perturbation")
    sign: Any = getattr(function, "sign", "signed")
    check_choice("family", family, Family)
    check_choice("sign", sign, Sign)
    passes = getattr(function, "passes", 1)
    return Method(
        name=name,
        family=family,
        reference=getattr(function, "reference", "a function of the user"),
        sign=sign,
        passes=functools.partial(_number_of_passes, passes),
        attribute=function,
        random=getattr(function, "random", False),
        needs_background=getattr(function, "needs_background", False),
        code=code_of(function, *CODE),
    )


def _number_of_passes(passes: int, parameters: Parameters, shape: Shape) -> int:
    return passes
