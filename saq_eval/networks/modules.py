"""Functions for any torch network: copying it, finding weights that hooks compute, and checking for NaN and infinity."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from saq_eval.core.errors import SaqEvalError

Net = TypeVar("Net", bound=nn.Module)


def channels_last(network: Net) -> Net:
    """Lay a network's weights out channels last, in place, and return it."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's overloads lack it


def private_copy(network: nn.Module) -> nn.Module:
    """Return a deep copy of a network, including its hooks and its mode (training or evaluation).

    `copy.deepcopy` refuses tensors that autograd computed, such as the weights that
    `torch.nn.utils.prune`, `weight_norm` and `spectral_norm` leave on a layer after a forward pass.
    Here the copy gets the values of these tensors. Its own forward pass computes them again.

    Args:
        network: is not changed.

    Raises:
        SaqEvalError: if a part of the network cannot be copied, such as an open file.
    """
    computed = [tensor for module in network.modules() for tensor in _tensors(vars(module)) if not tensor.is_leaf]
    try:
        return copy.deepcopy(network, {id(tensor): tensor.detach().clone() for tensor in computed})
    except Exception as error:  # the parts of a user's network may raise anything
        raise SaqEvalError(
            f"the network {type(network).__name__} cannot be copied: {type(error).__name__}: {error}"
        ) from error


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in an attribute's value, also in lists, tuples and dictionaries, but not in other modules."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (Mapping, list, tuple)):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(part)


def check_finite(tensors: Mapping[str, Tensor], source: str) -> None:
    """Raise `SaqEvalError` if tensors hold NaN or infinity; the message names these tensors.

    Args:
        tensors: tensors by name, such as a state dict; integer tensors are not checked.
        source: what the tensors belong to, for the message, such as "the network" or a file.
    """
    wrong = {
        name: int(count)
        for name, tensor in tensors.items()
        if isinstance(tensor, Tensor) and tensor.is_floating_point() and (count := (~tensor.isfinite()).sum())
    }
    if wrong:
        listed = ", ".join(f"{name} ({count} of {tensors[name].numel()})" for name, count in list(wrong.items())[:5])
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise SaqEvalError(f"{source} holds numbers that are not finite: {listed}{more}")


@dataclass(frozen=True)
class ComputedTensor:
    """A layer's tensor that each forward pass computes from other tensors, as in pruning and weight norm.

    Attributes:
        layer: the layer's name in the network.
        tensor: the tensor's name in the layer, usually "weight".
        by: the name of the mechanism that computes it.
        permanent: a function that stores the tensor's present value in the layer as a plain parameter.
        remedy: the torch function that does the same, for messages.
    """

    layer: str
    tensor: str
    by: str
    permanent: Callable[[], object]
    remedy: str


def computed_tensors(network: nn.Module) -> list[ComputedTensor]:
    """Return the tensors that torch's pruning, weight norm, spectral norm and parametrizations compute in a network."""
    found = []
    for layer, module in network.named_modules():
        if parametrize.is_parametrized(module):
            for tensor, steps in module.parametrizations.items():
                by = ", ".join(type(step).__name__.strip("_") for step in steps)
                remedy = "torch.nn.utils.parametrize.remove_parametrizations"
                found.append(ComputedTensor(layer, tensor, by, functools.partial(_unparametrized, module), remedy))
        for hook in module._forward_pre_hooks.values():
            for kind, key, remove, remedy in _COMPUTING_HOOKS:
                if isinstance(hook, kind):
                    tensor = getattr(hook, key)
                    permanent = functools.partial(remove, module, tensor)
                    found.append(ComputedTensor(layer, tensor, type(hook).__name__, permanent, remedy))
    return found


def _unparametrized(module: nn.Module) -> None:
    # Torch's `remove_parametrizations` is not used: it changes the class, which a copy shares with the user's layer.
    if parametrize.is_parametrized(module):
        names = cast(nn.ModuleDict, module.parametrizations)
        values = {name: getattr(module, name).detach().clone() for name in names}
        module.__class__ = parametrize.type_before_parametrizations(module)
        del module.parametrizations
        for name, value in values.items():
            module.register_parameter(name, nn.Parameter(value))


# Hooks of torch's older style: the hook's class, its attribute with the tensor's name, and torch's function to remove it.
_COMPUTING_HOOKS = (
    (prune.BasePruningMethod, "_tensor_name", prune.remove, "torch.nn.utils.prune.remove"),
    (WeightNorm, "name", remove_weight_norm, "torch.nn.utils.remove_weight_norm"),
    (SpectralNorm, "name", remove_spectral_norm, "torch.nn.utils.remove_spectral_norm"),
)


@torch.no_grad()
def make_permanent(network: nn.Module) -> None:
    """Replace a network's `computed_tensors`, in place, by plain parameters with their values in eval mode."""
    modes = {module: module.training for module in network.modules()}
    network.eval()  # in eval mode, spectral norm does not update its estimate
    # The mechanism that was added to a layer last is removed first.
    for computed in reversed(computed_tensors(network)):
        computed.permanent()
    for module in network.modules():
        module.training = modes[module]


def hooked(network: nn.Module) -> list[str]:
    """Return the names of the modules with forward hooks, not counting the hooks of `computed_tensors`."""
    kinds = tuple(kind for kind, *_ in _COMPUTING_HOOKS)

    def has_hook(module: nn.Module) -> bool:
        before = [hook for hook in module._forward_pre_hooks.values() if not isinstance(hook, kinds)]
        return bool(before or module._forward_hooks)

    return [name or "the network itself" for name, module in network.named_modules() if has_hook(module)]
