"""Full-precision networks by name; add one with `register_architecture`.

Build a network from modules (convolution, linear, batch norm, ReLU, pooling, flatten), not from functions.
Then it can be quantized, frozen and explained like the networks here.
"""

from __future__ import annotations

import copy
import importlib
import os
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from saq_eval.core.errors import SaqEvalError, first_line, in_short, ordinary_errors
from saq_eval.core.printing import prints_held_back
from saq_eval.core.registry import Registry
from saq_eval.networks.libraries import library_builder

ARCHITECTURES: Registry[Callable[..., nn.Module]] = Registry("architecture")


def register_architecture(name: str) -> Callable[[Callable[..., nn.Module]], Callable[..., nn.Module]]:
    """Register the decorated function under `name`; a card may set the function's keyword arguments."""
    return lambda build: ARCHITECTURES.add(name, build)


def find_architecture(name: str, *, trust_code: bool = False) -> Callable[..., nn.Module]:
    """Return the function that builds an architecture.

    Args:
        name: a registered name; "torchvision:resnet18" or "timm:resnet18" for a network of an installed library; or
            "module:function" for other code. The module is imported from Python's path or the working directory.
        trust_code: whether code that is neither registered nor of these libraries may be imported and run.

    Raises:
        SaqEvalError: an unknown name, a library that is not installed, or code that is not trusted or cannot be imported.
    """
    if ":" not in name:
        return ARCHITECTURES[name]
    return library_builder(name) or import_function(name, trust_code=trust_code)


def import_function(name: str, *, trust_code: bool) -> Callable[..., nn.Module]:
    """Import the function "module:function"; raises `SaqEvalError` if it is not trusted or there is none."""
    if not trust_code:
        raise SaqEvalError(
            f"architecture {name!r} is code from outside saq_eval, and importing it could do anything that you can do; "
            "read it, then allow it with --trust-code (trust_code=True)"
        )
    module, _, function = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        with prints_held_back(), ordinary_errors():
            build = getattr(importlib.import_module(module), function)
    except Exception as error:  # that code may raise anything
        raise SaqEvalError(f"architecture {name!r} cannot be imported: {first_line(error)}") from error
    if not callable(build):
        raise SaqEvalError(f"architecture {name!r} is no function but {type(build).__name__}")
    return build


def build(
    name: str, builder: Callable[..., nn.Module], arguments: Mapping[str, Any], seed: int | None = None
) -> nn.Module:
    """Call the function that builds an architecture. What it prints goes to the standard error.

    Args:
        name: the architecture's name, for messages.
        builder: as `find_architecture` returns it.
        arguments: its keyword arguments; it gets a copy.
        seed: the seed of the weights, torch's global generator being restored afterwards; by default, they are drawn from
            that generator as it is.

    Raises:
        SaqEvalError: if the function does not take the arguments, fails, ends the program, or returns no `nn.Module`.
    """
    try:
        with torch.random.fork_rng(enabled=seed is not None), prints_held_back(), ordinary_errors():
            if seed is not None:
                torch.manual_seed(seed)
            network = builder(**copy.deepcopy(dict(arguments)))  # which it may change
    except Exception as error:  # the architecture's code may raise anything
        raise SaqEvalError(
            f"architecture {name!r} cannot be built with the arguments {in_short(dict(arguments))}: {first_line(error)}"
        ) from error
    if not isinstance(network, nn.Module):
        raise SaqEvalError(f"architecture {name!r} builds no nn.Module but {type(network).__name__}")
    return network


@register_architecture("cnn")
def cnn(
    in_channels: int = 1,
    classes: int = 10,
    image_size: int = 28,
    channels: Sequence[int] = (24, 32, 32, 64, 64),
    pool_after: Sequence[int] = (1, 3, 5),
    hidden: int = 128,
) -> nn.Sequential:
    """Build a small convolutional network with batch norm for grey images: float32 (n, c, s, s) -> logits (n, classes).

    The layers are `conv1 … convK` (3x3, padding 1), each with batch norm and ReLU; max pooling by 2 after the
    blocks in `pool_after` (counted from 1); the hidden layer `fc1`; and the output layer `fc2`. Max pooling
    does not change the values that it selects, so in a quantized network the next layer still reads integer
    codes.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    size = image_size
    for block, (inputs, outputs) in enumerate(zip((in_channels, *channels), channels, strict=False), start=1):
        layers[f"conv{block}"] = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        layers[f"norm{block}"] = nn.BatchNorm2d(outputs)
        layers[f"act{block}"] = nn.ReLU()
        if block in pool_after:
            layers[f"pool{block}"] = nn.MaxPool2d(2)
            size //= 2
    layers["flatten"] = nn.Flatten()
    layers["fc1"] = nn.Linear(channels[-1] * size * size, hidden, bias=False)
    layers["norm_fc1"] = nn.BatchNorm1d(hidden)
    layers["act_fc1"] = nn.ReLU()
    layers["fc2"] = nn.Linear(hidden, classes)
    return nn.Sequential(layers)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, plus a shortcut: float32 (n, c, s, s) -> (n, channels, s / stride, ...).

    The shortcut is the identity, or a 1x1 convolution with batch norm where the shape changes (option B
    of He et al. 2016, arXiv 1512.03385).
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.act1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.projects = stride != 1 or in_channels != channels
        if self.projects:
            self.shortcut = nn.Conv2d(in_channels, channels, 1, stride, bias=False)
            self.shortcut_norm = nn.BatchNorm2d(channels)
        self.act2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(self.act1(self.norm1(self.conv1(x)))))
        return self.act2(y + (self.shortcut_norm(self.shortcut(x)) if self.projects else x))


@register_architecture("resnet20")
def resnet20(in_channels: int = 1, classes: int = 10, width: int = 16, blocks: int = 3) -> nn.Sequential:
    """Build the residual network of He et al. (arXiv 1512.03385, section 4.2) for images of about 32x32 pixels.

    The network has a 3x3 convolution, three stages, global average pooling and one linear layer. Each stage has
    `blocks` blocks. The stages have `width`, 2 · width and 4 · width channels, at full, half and quarter
    resolution. Not counting the shortcuts' 1x1 convolutions, these are 6 · blocks + 2 layers.
    Shapes: float32 (n, in_channels, s, s), s at least 4, such as 28 or 32 -> logits (n, classes).
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["conv1"] = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
    layers["norm1"] = nn.BatchNorm2d(width)
    layers["act1"] = nn.ReLU()
    inputs = width
    for stage, outputs in enumerate((width, 2 * width, 4 * width), start=1):
        for block in range(1, blocks + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            layers[f"stage{stage}_block{block}"] = BasicBlock(inputs, outputs, stride)
            inputs = outputs
    layers["pool"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["fc"] = nn.Linear(inputs, classes)
    return nn.Sequential(layers)
