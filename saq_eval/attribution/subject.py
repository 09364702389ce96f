"""The network that an attribution method works on: a private copy, which has been checked.

- **Not the user's own network.** Methods set hooks on networks, change their precision and rewrite them. They do this
  to a copy.
- **In eval mode**, even if the user's network is in training mode.
- **Logits, one row per image.** Each pass checks that the network returns a tensor (n, classes) of finite numbers. It is
  also checked once that a row depends only on its own image.
- **At least single precision.** A network in half precision is explained with the same weights in single precision,
  which rounds less and for which all layers have kernels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from saq_eval.core.errors import SaqEvalError
from saq_eval.networks.modules import Net, private_copy

_HALF = (torch.float16, torch.bfloat16)
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


def private(network: nn.Module) -> nn.Module:
    """Return a copy of a network to explain: in eval mode, without gradients of parameters, and with checked logits.

    Raises:
        SaqEvalError: if the argument is no network or cannot be copied, or a layer mixes images even in eval mode.
    """
    if not isinstance(network, nn.Module):
        raise SaqEvalError(
            f"a torch.nn.Module is explained, not a {type(network).__name__}"
            + (": give its `network`" if isinstance(getattr(network, "network", None), nn.Module) else "")
        )
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
        copied = private_copy(network).eval()
    for parameter in copied.parameters():  # a scripted network does not allow it for the whole network
        parameter.requires_grad_(False)
    if any(tensor.dtype in _HALF for tensor in (*copied.parameters(), *copied.buffers())):
        copied = copied.float()
    if isinstance(copied, torch.jit.ScriptModule):
        copied = nn.Sequential(copied)  # a scripted network does not take hooks; this does
    return guarded(without_in_place(copied))


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
    return value.clone() if isinstance(value, Tensor) else value


def look_at_logits(network: nn.Module) -> nn.Module:
    """Make a network raise `SaqEvalError` if it does not return finite logits (n, classes)."""
    network.register_forward_hook(lambda module, inputs, output: _check_logits(output))
    return network


def _check_logits(output: Any) -> None:
    if not isinstance(output, Tensor):
        kind = type(output).__name__
        if isinstance(output, dict):  # Hugging Face's networks return a kind of dict
            kind += f" with {', '.join(map(repr, list(output)[:5]))}"
        elif isinstance(output, (tuple, list)):
            kind += f" of {len(output)}"
        raise SaqEvalError(
            f"the network returns a {kind}, not a tensor of logits (n, classes): "
            "wrap it in a module whose forward picks the logits out"
        )
    if output.dim() != 2 or not output.is_floating_point():
        raise SaqEvalError(
            f"the network returns {output.dtype} {tuple(output.shape)}, not floating-point logits (n, classes): "
            "wrap it in a module whose forward brings them into that shape"
        )
    if not torch.isfinite(output).all():
        raise SaqEvalError("the network's logits are not finite: look for NaN or infinity in its weights")


def precision(network: nn.Module) -> torch.dtype:
    """Return the type of the images that a private network reads: float64 if all its tensors are float64, else float32."""
    kinds = {tensor.dtype for tensor in (*network.parameters(), *network.buffers()) if tensor.is_floating_point()}
    return torch.float64 if kinds == {torch.float64} else torch.float32


def look_at(network: nn.Module, image: Tensor, target: Tensor, at_once: int) -> Facts:
    """Pass an image through a private network, together with its negative if two images may pass at once.

    Args:
        image: (1, c, h, w).
        target: int64 (1,); if it is above the last class, it is not checked whether the network mixes images.
        at_once: the largest number of images that may pass through the network at once.

    Raises:
        SaqEvalError: if the network cannot read the image or returns no logits, or the logits of an image depend on the
            other image.
    """
    images = (torch.cat([image, 1 - image]) if at_once > 1 else image).detach().clone().requires_grad_()
    try:
        logits = network(images)
    except SaqEvalError:
        raise
    except Exception as error:  # a user's network may raise anything
        first = str(error).partition("\n")[0]
        shape = f"{images.dtype} {tuple(images.shape)} on {images.device}"
        raise SaqEvalError(
            f"the network {type(network).__name__} cannot read images {shape}: {type(error).__name__}: {first}"
        ) from error
    if len(logits) != len(images):
        raise SaqEvalError(
            f"the network returns {tuple(logits.shape)} for {len(images)} images, not logits (n, classes)"
        )
    facts = Facts(logits.shape[1], gradient_reaches(logits, images))
    if facts.gradient and int(target) < facts.classes:
        try:
            (gradient,) = torch.autograd.grad(logits[0, int(target)], images, allow_unused=True)
        except RuntimeError:  # a function without a backward pass
            gradient = None
        if gradient is None:
            return Facts(facts.classes, gradient=False)
        if gradient[1:].any():
            raise SaqEvalError(
                "the network mixes the images of a batch: the logits of one image depend on the others, so that no map "
                "of one image is right; look for a normalisation over the batch"
            )
    return facts


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


def shortened(names: list[str], most: int = 3) -> str:
    """Return the first few names, and the number of the others, as text for a message."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
