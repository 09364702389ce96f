"""Architectures of torchvision and timm, by name, with random weights. Nothing is downloaded."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any

from torch import nn

from saq_eval.core.errors import SaqEvalError
from saq_eval.core.extras import import_extra

# Builders with these parameters would load weights: from the network, or from a file by code of their own.
_LOADING = ("weights", "pretrained", "progress", "checkpoint_path")


def library_builder(name: str) -> Callable[..., nn.Module] | None:
    """Return the function that builds an architecture of an installed library, or `None` if the name is of no library.

    Args:
        name: "torchvision:resnet18" or "timm:resnet18".

    Raises:
        SaqEvalError: a name that the library does not have, or a library that is not installed. The function raises it for
            arguments that would load weights.
    """
    library, _, architecture = name.partition(":")
    return LIBRARIES[library](architecture) if library in LIBRARIES else None


def torchvision_builder(name: str) -> Callable[..., nn.Module]:
    """Return the function that builds a classification network of torchvision, such as "resnet18"."""
    from torchvision import models

    names = models.list_models(module=models)  # of classification; those of other tasks are in other modules
    if name in names:
        return functools.partial(_build_torchvision, name)
    if name in models.list_models():
        raise SaqEvalError(
            f"torchvision's {name} is no full-precision network that classifies images; such are resnet18 and the others "
            "of torchvision.models.list_models(module=torchvision.models)"
        )
    raise _unknown("torchvision", name, names, "torchvision.models.list_models(module=torchvision.models)")


def timm_builder(name: str) -> Callable[..., nn.Module]:
    """Return the function that builds a network of timm, such as "resnet18" or "resnet18.a1_in1k"."""
    timm = import_extra("timm", "timm", "a network of timm")
    architecture, _, tag = name.partition(".")
    if ":" in name or "/" in name or not timm.is_model(architecture):
        raise _unknown("timm", name, timm.list_models(), "timm.list_models()")
    if tag and name not in (tagged := timm.list_pretrained(f"{architecture}.*")):
        raise _unknown("timm", name, tagged, f"timm.list_pretrained('{architecture}.*')")
    return functools.partial(_build_timm, name)


LIBRARIES: dict[str, Callable[[str], Callable[..., nn.Module]]] = {
    "torchvision": torchvision_builder,
    "timm": timm_builder,
}


def _build_torchvision(name: str, **arguments: Any) -> nn.Module:
    from torchvision import models

    _check_loads_nothing(arguments)
    if name in INCEPTIONS:
        # Without them, torchvision builds outputs that only training uses, or warns of a slow initialisation.
        arguments = {"aux_logits": False, "init_weights": False} | arguments
    return models.get_model(name, weights=None, **arguments)


def _build_timm(name: str, **arguments: Any) -> nn.Module:
    _check_loads_nothing(arguments)
    return import_extra("timm", "timm", "a network of timm").create_model(name, pretrained=False, **arguments)


def imagenet_classes() -> tuple[str, ...]:
    """Return the names of ImageNet's 1,000 classes, in the order of the outputs of networks that know them."""
    from torchvision import models

    return tuple(models.ResNet18_Weights.DEFAULT.meta["categories"])


INCEPTIONS = ("googlenet", "inception_v3")


def _check_loads_nothing(arguments: Iterable[str]) -> None:
    loading = [name for name in arguments if name in _LOADING]
    if loading:
        raise SaqEvalError(
            f"{loading[0]} is not for an architecture, since nothing is downloaded; weights come from a file"
        )


def _unknown(library: str, name: str, names: Iterable[str], listing: str) -> SaqEvalError:
    nearest = get_close_matches(name, list(names), n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    return SaqEvalError(f"{library} has no network {name!r}; {hint}{listing} lists all")
