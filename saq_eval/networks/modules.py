"""Networks as torch modules, whoever made them: a private copy, weights that hooks compute, numbers that are none."""

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
    """Return a deep copy of a network, its hooks and its mode (training or evaluation) included.

    `copy.deepcopy` refuses tensors that autograd computed, such as the weights that
    `torch.nn.utils.prune`, `weight_norm` and `spectral_norm` leave on a layer after a forward pass.
    The copy holds their values; its own forward pass computes them anew.

    Args:
        network: left untouched.

    Raises:
        SaqEvalError: if a part of the network cannot be copied, such as an open file.
    """
    computed = [tensor for module in network.modules() for tensor in _tensors(vars(module)) if not tensor.is_leaf]
    try:
        return copy.deepcopy(network, {id(tensor): tensor.detach().clone() for tensor in computed})
    except Exception as error:  # whatever the parts of a user's network raise
        raise SaqEvalError(
            f"the network {type(network).__name__} cannot be copied: {type(error).__name__}: {error}"
        ) from error


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in an attribute's value, also those in lists, tuples and dictionaries, but not in other modules."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (Mapping, list, tuple)):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(part)


def check_finite(tensors: Mapping[str, Tensor], source: str) -> None:
    """Raise `SaqEvalError` that names the tensors with NaN or infinity, if there are any.

    Args:
        tensors: by name, such as a state dict; those of integers hold neither.
        source: what they belong to, as the message is to call it: "the network", or a file.
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
    """A layer's tensor that is computed from others in each forward pass, as pruning and weight norm do.

    Attributes:
        layer: the layer's name in the network.
        tensor: the tensor's name in the layer, mostly "weight".
        by: what computes it.
        permanent: makes the value that it has now the layer's own.
        remedy: torch's function that does so, for messages.
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
    # Not torch's `remove_parametrizations`, which changes the class that a copy shares with the user's layer.
    if parametrize.is_parametrized(module):
        names = cast(nn.ModuleDict, module.parametrizations)
        values = {name: getattr(module, name).detach().clone() for name in names}
        module.__class__ = parametrize.type_before_parametrizations(module)
        del module.parametrizations
        for name, value in values.items():
            module.register_parameter(name, nn.Parameter(value))


# The older style of torch: the hook's kind, which of its attributes names the tensor, and what undoes it.
_COMPUTING_HOOKS = (
    (prune.BasePruningMethod, "_tensor_name", prune.remove, "torch.nn.utils.prune.remove"),
    (WeightNorm, "name", remove_weight_norm, "torch.nn.utils.remove_weight_norm"),
    (SpectralNorm, "name", remove_spectral_norm, "torch.nn.utils.remove_spectral_norm"),
)


@torch.no_grad()
def make_permanent(network: nn.Module) -> None:
    """Give a network, in place, the weights that its `computed_tensors` have in eval mode, as plain parameters."""
    modes = {module: module.training for module in network.modules()}
    network.eval()  # in which spectral norm's estimate stands still
    # The last that was put on a layer comes off first.
    for computed in reversed(computed_tensors(network)):
        computed.permanent()
    for module in network.modules():
        module.training = modes[module]


def hooked(network: nn.Module) -> list[str]:
    """Return the names of the modules with hooks in their forward pass, other than those of `computed_tensors`."""
    kinds = tuple(kind for kind, *_ in _COMPUTING_HOOKS)

    def has_hook(module: nn.Module) -> bool:
        before = [hook for hook in module._forward_pre_hooks.values() if not isinstance(hook, kinds)]
        return bool(before or module._forward_hooks)

    return [name or "the network itself" for name, module in network.named_modules() if has_hook(module)]
