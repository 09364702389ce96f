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
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from quantus.helpers.model.pytorch_model import PyTorchModel
from torch import nn

from saq_eval.core.randomness import global_seed


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

    Quantus draws on the network's device, and a GPU's generator gives other weights than a CPU's for the same seed.
    """
    on_processor = copy.copy(model)
    on_processor.model = copy.deepcopy(model.model).cpu()
    for name, network in _layers_of_quantus(on_processor, order, seed):
        yield name, copy.deepcopy(network).to(model.device)


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
