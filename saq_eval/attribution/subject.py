"""The network that an attribution method gets to see: a private copy, of which it is known what it can be asked.

- **Never the user's own.** Methods hang hooks on networks, cast them and take them apart: they do it to a copy.
- **Always in eval mode**, whatever mode the user's network is in.
- **Logits, one row per image.** What the network returns is looked at in each pass: a tensor (n, classes) of finite
  numbers, of which a row depends on its own image alone.
- **Single precision at least.** A network in half precision is explained with the same weights in single
  precision, which rounds less, and which all layers have kernels for.
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
# Autograd's names of its functions in steps, whose gradient is zero wherever there is one.
_STEPS = re.compile(r"(Round|Floor|Ceil|Trunc|Sign|Sgn)Backward\d+")  # a user's own function ends without a number


@dataclass(frozen=True)
class Facts:
    """What one pass of a network has shown.

    Attributes:
        classes: the logits per image.
        gradient: whether a gradient reaches the image; see `gradient_reaches`.
    """

    classes: int
    gradient: bool


def private(network: nn.Module) -> nn.Module:
    """Return a copy of a network to explain: in eval mode, its parameters without gradients, its logits looked at.

    Raises:
        SaqEvalError: what is no network or cannot be copied, or a layer that mixes images also in eval mode.
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
    with torch.no_grad():  # or a scripted network's copied parameters would be computed ones
        copied = private_copy(network).eval()
    for parameter in copied.parameters():  # one by one, since a scripted network refuses it as a whole
        parameter.requires_grad_(False)
    if any(tensor.dtype in _HALF for tensor in (*copied.parameters(), *copied.buffers())):
        copied = copied.float()
    if isinstance(copied, torch.jit.ScriptModule):
        copied = nn.Sequential(copied)  # which takes hooks, as scripted networks do not
    return guarded(without_in_place(copied))


def without_in_place(network: Net) -> Net:
    """Let no layer of a network work in place: it would spoil the layer before it, whose output a method may look at."""
    for module in network.modules():
        if getattr(module, "inplace", False) is True and not isinstance(module, torch.jit.ScriptModule):
            module.inplace = False  # type: ignore[assignment]  # torch declares attributes of modules as tensors
    return network


def guarded(network: nn.Module) -> nn.Module:
    """Let a network look at its logits (see `look_at_logits`), and work in place on nothing that a method still needs."""
    network.register_forward_pre_hook(lambda module, inputs: tuple(map(_apart, inputs)))
    return look_at_logits(network)


def _apart(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def look_at_logits(network: nn.Module) -> nn.Module:
    """Let a network's passes end in a `SaqEvalError` where it returns no logits (n, classes), or such as are not finite."""
    network.register_forward_hook(lambda module, inputs, output: _check_logits(output))
    return network


def _check_logits(output: Any) -> None:
    if not isinstance(output, Tensor):
        kind = type(output).__name__
        if isinstance(output, dict):  # also what Hugging Face's networks return
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
    """Return the floating-point type of the images that a private network reads: float64 where it has no other, else float32."""
    kinds = {tensor.dtype for tensor in (*network.parameters(), *network.buffers()) if tensor.is_floating_point()}
    return torch.float64 if kinds == {torch.float64} else torch.float32


def look_at(network: nn.Module, image: Tensor, target: Tensor, at_once: int) -> Facts:
    """Pass an image through a private network, and beside it its negative, where two may pass at once.

    Args:
        image: (1, c, h, w).
        target: int64 (1,), not above the last class for the check of mixing to be made.
        at_once: images that may pass the network at once.

    Raises:
        SaqEvalError: a network that cannot read the image, returns no logits, or whose logits of an image depend on
            the other image.
    """
    images = (torch.cat([image, 1 - image]) if at_once > 1 else image).detach().clone().requires_grad_()
    try:
        logits = network(images)
    except SaqEvalError:
        raise
    except Exception as error:  # whatever a user's network raises
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

    It has one where a way leads through autograd's graph from the output to the leaf that does not pass a function in
    steps, such as `torch.round` without a straight-through gradient, nor one without a backward pass. A gradient that
    happens to be zero, as where a rectifier clips everything, is a gradient.
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
    """Return names as a message lists them: the first few, and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
