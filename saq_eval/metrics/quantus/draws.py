"""Random draws in Quantus that depend on the image, not on the batch.

An image's score is what Quantus gives for that image alone after `numpy.random.seed(derived_seed(seed, metric, index))`.
Quantus draws from NumPy's global generator in the order of calls. In a batch, an image's draws would depend on the
images before it. So while Quantus runs, NumPy's functions are replaced by functions that draw from a separate generator
for each image of the batch.
"""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from quantus.helpers.model.pytorch_model import PyTorchModel
from torch import nn

from saq_eval.core.errors import Unsupported, first_line, shortened
from saq_eval.core.randomness import derived_seed, global_seed
from saq_eval.networks.modules import make_permanent, private_copy

_LEFT = 0.1  # the share of a network's weights that may be left when the others are randomised


@contextlib.contextmanager
def replaced(*replacements: tuple[Any, str, Any]) -> Iterator[None]:
    """Replace attributes of modules for a while. This affects the whole process, so it can run only one comparison at a time.

    Args:
        replacements: (module, attribute, the temporary value).
    """
    originals = [(module, attribute, getattr(module, attribute)) for module, attribute, _ in replacements]
    try:
        for module, attribute, replacement in replacements:
            setattr(module, attribute, replacement)
        yield
    finally:
        for module, attribute, original in originals:
            setattr(module, attribute, original)


_layers_of_quantus = PyTorchModel.get_random_layer_generator


def random_layers(model: PyTorchModel, order: str = "top_down", seed: int = 42) -> Iterator[tuple[str, nn.Module]]:
    """Yield layers' names and networks with that layer randomised, like Quantus, but the same on every device.

    Layers are the modules with `reset_parameters`; see `check_weights`.
    Quantus draws on the network's device, and a GPU's generator gives other weights than a CPU's for the same seed.
    """
    on_processor = copy.copy(model)
    on_processor.model = private_copy(model.model).cpu()
    make_permanent(
        on_processor.model
    )  # weights that hooks compute would be computed again, from values that are not drawn
    for name, network in _layers_of_quantus(on_processor, order, seed):
        yield name, copy.deepcopy(network).to(model.device)


def check_weights(network: nn.Module) -> None:
    """Raise `Unsupported` unless `random_layers` can randomise a network's weights: all of them, but for a small share."""
    copied = private_copy(network)
    make_permanent(copied)
    layers = {name: module for name, module in copied.named_modules() if hasattr(module, "reset_parameters")}
    if not layers:
        raise Unsupported("no weights to randomise", "no layer of the network has `reset_parameters`")
    before = {id(tensor): tensor.detach().clone() for tensor in copied.parameters()}
    with global_seed(derived_seed(0, "are weights drawn anew?")):  # with 0 alone, a user may have drawn them
        for name, module in layers.items():
            try:
                module.reset_parameters()
            except Exception as error:  # such as weights of a type that has no random numbers
                reason = f"the weights of {type(module).__name__} ({name}) cannot be randomised"
                raise Unsupported(reason, first_line(error)) from error
    if not any(_differs(tensor, before[id(tensor)]) for tensor in copied.parameters() if id(tensor) in before):
        raise Unsupported("no weights to randomise", f"drawing those of {shortened(list(layers))} anew changes none")
    _check_share(copied, layers)


def _differs(tensor: torch.Tensor, before: torch.Tensor) -> bool:
    """Tell whether a parameter is another after it has been randomised; one that another has replaced is."""
    return tensor.shape != before.shape or not torch.equal(tensor, before)


def _check_share(network: nn.Module, layers: Mapping[str, nn.Module]) -> None:
    drawn = {id(parameter) for module in layers.values() for parameter in module.parameters(recurse=False)}
    left = {
        f"{type(module).__name__} ({name})": sum(
            p.numel() for p in module.parameters(recurse=False) if id(p) not in drawn
        )
        for name, module in network.named_modules()
    }
    if sum(left.values()) > _LEFT * sum(parameter.numel() for parameter in network.parameters()):
        named = sorted((name for name, count in left.items() if count), key=lambda name: -left[name])
        raise Unsupported(f"the weights of {shortened(named, 1)} cannot be randomised", "no `reset_parameters` there")


@contextlib.contextmanager
def draws_of_each_image(seeds: Sequence[int]) -> Iterator[None]:
    """Make each image of a batch get the same draws from `numpy.random` as it would get alone, and make sorting stable.

    The global generators of NumPy and torch are seeded with the first seed and restored afterwards.

    Args:
        seeds: one for each image; at least one.
    """
    generators = [np.random.RandomState(seed) for seed in seeds]
    draws = _own_draws(generators) if len(seeds) > 1 else {}
    stable = functools.partial(np.argsort, kind="stable")  # NumPy's default may differ from machine to machine
    with global_seed(seeds[0]), replaced((np, "argsort", stable), *((np.random, *draw) for draw in draws.items())):
        yield


def _own_draws(generators: Sequence[np.random.RandomState]) -> dict[str, Callable[..., np.ndarray]]:
    """Return, by name, functions that replace those of `numpy.random` and draw from each image's own generator."""
    turn = 0

    def choice(*args: Any, **kwargs: Any) -> np.ndarray:  # Quantus calls it for the images in turn, many times
        nonlocal turn
        turn += 1
        return generators[(turn - 1) % len(generators)].choice(*args, **kwargs)

    def rows(draw: str) -> Callable[..., np.ndarray]:  # Quantus calls it for all images at once, a row for each
        def drawn(*, size: int | tuple[int, ...], **kwargs: Any) -> np.ndarray:
            row = (1, *np.atleast_1d(size)[1:])
            return np.concatenate([getattr(generator, draw)(size=row, **kwargs) for generator in generators])

        return drawn

    return {
        "choice": choice,
        "normal": rows("normal"),
        "uniform": rows("uniform"),
        "randn": lambda *size: rows("normal")(size=size),
    }
