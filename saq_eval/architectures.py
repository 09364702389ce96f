"""Full-precision networks by name; add one with `register_architecture`.

Write a network of modules (convolution, linear, batch norm, ReLU, pooling, flatten), not of functions,
and it can be quantized, frozen and explained like the ones here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from torch import nn

from saq_eval.registry import Registry

ARCHITECTURES: Registry[Callable[..., nn.Module]] = Registry("architecture")


def register_architecture(name: str) -> Callable[[Callable[..., nn.Module]], Callable[..., nn.Module]]:
    """Register the decorated function, whose keyword arguments a card may set, under `name`."""
    return lambda build: ARCHITECTURES.add(name, build)


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

    `conv1 … convK` (3x3, padding 1), each with batch norm and ReLU, max pooling by 2 after the blocks
    named in `pool_after` (counted from 1), then the hidden layer `fc1` and the output layer `fc2`.
    Max pooling passes values on unchanged, so on a quantized network the next layer still reads
    integer codes.
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
