"""Functions for any network: calling it as a module, reading its logits, copying it, and finding weights that hooks compute."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from saq_eval.core.errors import SaqEvalError, first_line, in_short, ordinary_errors

Net = TypeVar("Net", bound=nn.Module)


class CallableNetwork(nn.Module):
    """A function of images as a module without layers: pixels (n, c, h, w) -> logits (n, classes).

    It is not known whether the function can differentiate, so it is tried: if the function refuses images that require a
    gradient, as a call of `numpy()` does, it gets them detached. Copies share the function, because a session of another
    library cannot be copied.

    Args:
        function: gets a tensor, and returns what `read_logits` reads.
    """

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        if not isinstance(images, Tensor):  # a symbol of `torch.fx`, which kills the process in ONNX Runtime
            raise SaqEvalError("a function has no layers to trace")
        try:
            with ordinary_errors():
                return read_logits(self.function(images))
        except SaqEvalError:
            raise
        except Exception:  # a user's function may raise anything
            if not images.requires_grad:
                raise
        return read_logits(self.function(images.detach()))

    def __deepcopy__(self, memo: dict[int, Any]) -> CallableNetwork:
        return CallableNetwork(self.function)


def as_module(network: object) -> nn.Module:
    """Return a network as a module: a module as it is, and another callable as a `CallableNetwork`.

    Args:
        network: pixels (n, c, h, w) -> logits (n, classes): a `torch.nn.Module`, a function, a bound method, or another
            object that can be called. A module's own `forward` stands for the module.

    Raises:
        SaqEvalError: if the argument is none of these.
    """
    if isinstance(network, nn.Module):
        return network
    owner = getattr(network, "__self__", None)
    if isinstance(owner, nn.Module) and getattr(network, "__name__", "") in (
        "forward",
        "__call__",
        "_wrapped_call_impl",
    ):
        return owner
    advice = [f": give its `{part}`" for part in ("network",) if isinstance(getattr(network, part, None), nn.Module)]
    if isinstance(network, torch.export.ExportedProgram):
        advice = [": give its `.module()`"]
    if advice or not callable(network) or isinstance(network, type):
        raise SaqEvalError(
            "a network is a torch.nn.Module or a function of images that returns logits, "
            f"not {in_short(network)}{''.join(advice)}"
        )
    return CallableNetwork(network)


def read_logits(output: Any) -> Tensor:
    """Return the logits (n, classes) in a network's output, if there is one right way to read them.

    Logits are a floating-point tensor or array, or one in: an entry or attribute "logits" (as in Hugging Face's networks);
    the only entry of a dictionary, list or tuple; the first entry of a list or tuple whose other entries are of the same
    shape (auxiliary classifiers, as in Inception), not tensors of two axes (features), or `None`. Quantized logits are
    dequantized. Their values are not checked.

    Raises:
        SaqEvalError: if there are none, or several entries could be the logits; the message says what the output is.
    """
    found = _entry_with_logits(output)
    if isinstance(found, np.ndarray):
        found = torch.from_numpy(found)
    if not isinstance(found, Tensor):
        raise SaqEvalError(
            f"the network returns {_kind(output)}, not a tensor of logits (n, classes): "
            "wrap it in a module whose forward picks the logits out"
        )
    if found.is_quantized:
        found = found.dequantize()
    if found.dim() != 2 or not found.is_floating_point() or not found.shape[1]:
        raise SaqEvalError(
            f"the network returns {found.dtype} {tuple(found.shape)}, not floating-point logits (n, classes): "
            "wrap it in a module whose forward brings them into that shape"
        )
    return found


def symbol_of_logits(output: Any) -> Any:
    """Return the entry with the logits in an output of `torch.fx`'s symbols or nodes, whose values cannot be looked at.

    It has been checked that `read_logits` reads the true output.
    """
    if isinstance(output, Mapping):
        return output.get("logits", next(iter(output.values()), None))
    if isinstance(output, (list, tuple)):
        return output[0] if output else None
    return output


def _entry_with_logits(output: Any) -> Any:
    if isinstance(output, (Tensor, np.ndarray)):
        return output
    if isinstance(output, Mapping):
        only = next(iter(output.values())) if len(output) == 1 else None
        return output.get("logits", only)
    named = getattr(output, "logits", None)
    if isinstance(named, Tensor):
        return named
    if isinstance(output, (list, tuple)) and output:
        first, *others = output
        shape = getattr(first, "shape", ())
        rivals = [other for other in others if len(getattr(other, "shape", ())) == 2 and other.shape != shape]
        return first if len(shape) == 2 and not rivals else None
    return None


def _kind(output: Any) -> str:
    kind = type(output).__name__
    if isinstance(output, Mapping):
        return f"a {kind} with {', '.join(map(repr, list(output)[:5]))}"
    if isinstance(output, (tuple, list)):
        shapes = [str(tuple(part.shape)) if hasattr(part, "shape") else type(part).__name__ for part in output[:5]]
        return ": ".join(filter(None, (f"a {kind} of {len(output)}", ", ".join(shapes))))
    return f"a {kind}"


def unwrapped(network: nn.Module) -> nn.Module:
    """Return the network inside a wrapper of `torch.compile`, `DataParallel` or `DistributedDataParallel`.

    A wrapper with hooks of its own stays, since the network inside would not have them.
    """
    parallel = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while not (isinstance(network, torch.jit.ScriptModule) or network._forward_hooks or network._forward_pre_hooks):
        inner = network.module if isinstance(network, parallel) else network._modules.get("_orig_mod")
        if not isinstance(inner, nn.Module):
            break
        network = inner
    return network


def contiguous(network: Net) -> Net:
    """Lay a network's weights out contiguously, in place, and return it; its layers then return contiguous tensors."""
    network = network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # torch's overloads lack it
    for parameter in network.parameters():
        if parameter.dim() == 4 and type(parameter.data) is Tensor:
            # Weights of one channel count as contiguous in either format, but layers go by their strides.
            parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
    return network


def called(network: nn.Module) -> str:
    """Return what a network is called in messages: its class, or the name of the function that it is."""
    kind = network.function if isinstance(network, CallableNetwork) else network
    return str(getattr(kind, "__name__", type(kind).__name__))


def readable(network: nn.Module, images: Tensor) -> Tensor:
    """Return a network's output for images; if it fails, lay its weights out contiguously, in place, and try again.

    Weights that lie channels last make layers return tensors in that format, in which `x.view(n, -1)` fails.

    Raises:
        SaqEvalError: if the network cannot read the images; the message says what it has raised.
    """
    try:
        with ordinary_errors():
            return network(images)
    except SaqEvalError:
        raise
    except Exception as error:  # a user's network may raise anything
        if any(tensor.dim() == 4 for tensor in network.parameters()):
            with contextlib.suppress(Exception), ordinary_errors():
                return contiguous(network)(images)
        theirs = {str(tensor.device) for tensor in (*network.parameters(), *network.buffers())}
        elsewhere = f"; it is on {', '.join(sorted(theirs))}" if theirs - {str(images.device)} else ""
        shape = f"{images.dtype} {tuple(images.shape)} on {images.device}"
        raise SaqEvalError(
            f"the network {called(network)} cannot read images {shape}: {first_line(error)}{elsewhere}"
        ) from error


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
        raise SaqEvalError(f"the network {type(network).__name__} cannot be copied: {first_line(error)}") from error


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
