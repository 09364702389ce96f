"""The network that an attribution method works on: a private copy, which has been checked.

- **Not the user's own network.** Methods set hooks on networks, change their precision and rewrite them. They do this
  to a copy.
- **In eval mode**, even if the user's network is in training mode.
- **Logits, one row per image.** Each pass reads the logits in the network's output, (n, classes), and checks that they
  are finite. It is also checked once that a row depends only on its own image, and not on chance.
- **Without wrappers** of `torch.compile` and `DataParallel`, and on the images' device.
- **At least single precision.** A network in half precision is explained with the same weights in single precision,
  which rounds less and for which all layers have kernels.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import re
import time
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from saq_eval.core.errors import SaqEvalError, SaqEvalWarning, ordinary_errors, shortened
from saq_eval.networks.batches import NotInBatches, OneByOne, check_rows
from saq_eval.networks.modules import (
    Net,
    as_module,
    called,
    private_copy,
    read_logits,
    readable,
    symbol_of_logits,
    unwrapped,
)

_HALF = (torch.float16, torch.bfloat16)
_SLOW = 1.0  # seconds of a pass that a user should know of
_SLOW_ONES: set[str] = set()  # of which that has been said; methods look at a network again
_CHANCE = 0.05  # logits may differ by this share of the largest; a dropout changes more, another kernel less
# Autograd's names of step functions, whose gradient is zero wherever it exists. The name of a user's own function does
# not end with a number.
_STEPS = re.compile(r"(Round|Floor|Ceil|Trunc|Sign|Sgn)Backward\d+")


@dataclass(frozen=True)
class Facts:
    """Facts about a network from one pass.

    Attributes:
        classes: the number of logits per image.
        gradient: whether a gradient reaches the image; see `gradient_reaches`.
    """

    classes: int
    gradient: bool


def private(network: Any, device: torch.device | None = None) -> nn.Module:
    """Return a copy of a network to explain: in eval mode, without gradients of parameters, and with checked logits.

    Args:
        network: see `saq_eval.networks.modules.as_module`; a function is shared with the copy.
        device: the images' device, to which the copy is moved if the whole network is on another.

    Raises:
        SaqEvalError: if the argument is no network or cannot be copied, its weights have no values, or a layer mixes
            images even in eval mode.
    """
    network = unwrapped(as_module(network))
    mixing = [
        f"{name or 'itself'} ({type(module).__name__})"
        for name, module in network.named_modules()
        if isinstance(module, _BatchNorm) and module.running_mean is None
    ]
    if mixing:
        raise SaqEvalError(
            f"the network mixes the images of a batch: batch norm without running statistics in {shortened(mixing)}; "
            "train it with track_running_stats=True"
        )
    with torch.no_grad():  # else a scripted network's copied parameters would not be leaves
        copied = _in_eval_mode(_without_compilation(private_copy(network)))
    for parameter in copied.parameters():  # a scripted network does not allow it for the whole network
        parameter.requires_grad_(False)
    if any(tensor.dtype in _HALF for tensor in (*copied.parameters(), *copied.buffers())):
        copied = copied.float()
    if isinstance(copied, torch.jit.ScriptModule):
        copied = nn.Sequential(copied)  # a scripted network does not take hooks; this does
    return guarded(without_in_place(_on(copied, device)))


def _without_compilation(network: nn.Module) -> nn.Module:
    """Replace the parts of a copy that `torch.compile` has wrapped by what is in the wrappers, in place."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(module, torch.jit.ScriptModule) or unwrapped(child) is child:
                continue
            setattr(module, name, unwrapped(child))
    return network


def _in_eval_mode(network: nn.Module) -> nn.Module:
    try:
        return network.eval()
    except NotImplementedError:  # `torch.export` has fixed the mode
        for module in network.modules():
            module.training = False
        return network


def _on(network: nn.Module, device: torch.device | None) -> nn.Module:
    devices = {tensor.device for tensor in (*network.parameters(), *network.buffers())}
    if any(found.type == "meta" for found in devices):
        raise SaqEvalError("the network's weights have no values: they are on the device meta; load them first")
    # A network that is on several devices moves the images itself.
    return network.to(device) if device is not None and len(devices) == 1 and devices != {device} else network


def without_in_place(network: Net) -> Net:
    """Make no layer of a network work in place, because it would change the output of the layer before it."""
    for module in network.modules():
        if getattr(module, "inplace", False) is True and not isinstance(module, torch.jit.ScriptModule):
            module.inplace = False  # type: ignore[assignment]  # torch declares attributes of modules as tensors
    return network


def guarded(network: nn.Module) -> nn.Module:
    """Make a network check its logits (see `look_at_logits`) and work on a copy of its input, not on the input itself."""
    network.register_forward_pre_hook(lambda module, inputs: tuple(map(_apart, inputs)))
    return look_at_logits(network)


def _apart(value: Any) -> Any:
    return value.clone(memory_format=torch.contiguous_format) if isinstance(value, Tensor) else value


def look_at_logits(network: nn.Module) -> nn.Module:
    """Make a network return its logits alone (see `read_logits`), and raise `SaqEvalError` if they are not finite."""
    network.register_forward_hook(lambda module, inputs, output: _checked_logits(output))
    return network


def _checked_logits(output: Any) -> Any:
    symbol = symbol_of_logits(output)
    if isinstance(symbol, fx.Proxy):  # the network is part of another, and that is traced
        return symbol
    logits = read_logits(output)
    if not torch.isfinite(logits).all():
        raise SaqEvalError("the network's logits are not finite: look for NaN or infinity in its weights")
    return logits.float() if logits.dtype in _HALF else logits


def with_gradients_on(network: nn.Module) -> nn.Module:
    """Make a network compute with gradients even under `torch.no_grad()`, because it differentiates to get its logits."""
    modes: list[bool] = []

    def enter(module: nn.Module, inputs: Any) -> None:
        modes.append(torch.is_grad_enabled())
        torch.set_grad_enabled(True)

    def leave(module: nn.Module, inputs: Any, output: Any) -> Any:
        torch.set_grad_enabled(modes.pop())
        return output if torch.is_grad_enabled() or not isinstance(output, Tensor) else output.detach()

    network.register_forward_pre_hook(enter, prepend=True)
    network.register_forward_hook(leave, always_call=True)
    return network


def precision(network: nn.Module) -> torch.dtype:
    """Return the type of the images that a private network reads: float64 if all its tensors are float64, else float32."""
    kinds = {tensor.dtype for tensor in (*network.parameters(), *network.buffers()) if tensor.is_floating_point()}
    return torch.float64 if kinds == {torch.float64} else torch.float32


def readable_in_batches(network: nn.Module, image: Tensor, target: Tensor, at_once: int) -> tuple[nn.Module, Facts]:
    """Return a private network that reads the images of a batch apart, one by one if need be, and its facts.

    The arguments and errors are those of `look_at`. A network is still refused if its gradient shows that it mixes images, as a
    normalisation over the batch does: it was not made for one image.
    """
    try:
        return network, look_at(network, image, target, at_once)
    except NotInBatches:
        alone = look_at_logits(OneByOne(network))
        return alone, look_at(alone, image, target, at_once)


def look_at(network: nn.Module, image: Tensor, target: Tensor, at_once: int) -> Facts:
    """Pass an image through a private network, together with its darkened negative if two images may pass at once.

    If the network needs contiguous tensors, or gradients to compute its logits, it is changed, in place, so that it gets
    them.

    Args:
        image: (1, c, h, w).
        target: int64 (1,); if it is above the last class, it is not checked whether the network mixes images.
        at_once: the largest number of images that may pass through the network at once.

    Raises:
        NotInBatches: if it reads one image at a time, or the logits of an image depend on the other image, which no
            gradient shows; see `readable_in_batches`.
        SaqEvalError: if the network cannot read the image or returns no logits, or the logits of an image depend on the
            other image, as a gradient shows, or on chance.
    """
    # Darkened, since a range that is the same for both images would be the same for the batch.
    images = (torch.cat([image, (1 - image) / 2]) if at_once > 1 else image).detach().clone().requires_grad_()
    started = time.perf_counter()
    logits = _logits(network, images)
    first = time.perf_counter()
    if len(logits) != len(images):
        raise SaqEvalError(
            f"the network returns {tuple(logits.shape)} for {len(images)} images, not logits (n, classes)"
        )
    again = _pass_again(network, images.detach(), logits.detach())
    # The first pass may also have to load a library, or compile.
    _say_if_slow(called(network), len(images), min(first - started, time.perf_counter() - first))
    facts = Facts(logits.shape[1], gradient_reaches(logits, images))
    known = facts.gradient and int(target) < facts.classes
    if known:
        gradient = _gradient(logits[0, int(target)], images)
        if gradient is None:
            facts, known = Facts(facts.classes, gradient=False), False
        elif gradient[1:].any():
            raise SaqEvalError(_MIXES)
    if len(images) > 1:
        try:
            check_rows(network, images.detach(), again)
        except NotInBatches as error:
            gradient = _gradient(logits[1, int(target)], images) if known else None
            if gradient is not None and gradient[:1].any():
                raise SaqEvalError(_MIXES) from error
            raise
    return facts


def _say_if_slow(name: str, images: int, seconds: float) -> None:
    if seconds >= _SLOW and name not in _SLOW_ONES and multiprocessing.parent_process() is None:
        _SLOW_ONES.add(name)
        warnings.warn(
            f"a pass of {images} images through the network {name} takes {seconds:.1f} s, and maps and metrics take hundreds "
            "to thousands of passes for an image: Ctrl-C ends the command",
            SaqEvalWarning,
            stacklevel=2,
        )


_MIXES = (
    "the network mixes the images of a batch: the logits of one image depend on the others, so that no map of one image is "
    "right; look for a normalisation over the batch"
)


def _gradient(logit: Tensor, images: Tensor) -> Tensor | None:
    """Return a logit's gradient; `None` if there is none, as of a function without a backward pass."""
    try:
        return torch.autograd.grad(logit, images, allow_unused=True, retain_graph=True)[0]
    except RuntimeError:
        return None


def _logits(network: nn.Module, images: Tensor) -> Tensor:
    try:
        return readable(network, images)
    except SaqEvalError as error:
        if len(images) > 1 and error.__cause__ is not None and _works(network, images[:1]):
            raise NotInBatches(f"the network reads one image at a time, not {len(images)}") from error
        raise


def _works(network: nn.Module, images: Tensor) -> bool:
    with contextlib.suppress(Exception), ordinary_errors():
        network(images)
        return True
    return False


def _pass_again(network: nn.Module, images: Tensor, logits: Tensor) -> Tensor:
    """Pass images without gradients, as the methods that hide pixels do, and return the logits; they have to be the same."""
    with torch.no_grad():
        try:
            with ordinary_errors():
                again = network(images)
        except SaqEvalError:
            raise
        except Exception:  # the pass with gradients has succeeded
            again = with_gradients_on(network)(images)
    if again.shape != logits.shape or (again - logits).abs().max() > _CHANCE * logits.abs().max():
        raise SaqEvalError(
            "the network returns other logits each time for the same images: look for a dropout that is on in eval mode"
        )
    return again


def gradient_reaches(output: Tensor, source: Tensor) -> bool:
    """Tell whether a leaf has a gradient that is not zero by construction.

    It has such a gradient if a path in autograd's graph leads from the output to the leaf, and no function on the path
    is a step function (such as `torch.round` without a straight-through gradient) or lacks a backward pass. A gradient
    that happens to be zero, for example because a rectifier clips everything, counts as a gradient.
    """
    seen, ways = set(), [output.grad_fn]
    while ways:
        node = ways.pop()
        if node is None or node in seen or _STEPS.fullmatch(node.name()) or "NotImplemented" in node.name():
            continue
        if getattr(node, "variable", None) is source:
            return True
        seen.add(node)
        ways.extend(following for following, _ in node.next_functions)
    return False
