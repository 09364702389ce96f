"""Networks with random weights, for networks that cannot be built anew by a function."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from saq_eval.networks.modules import private_copy


def untrained_copy(network: nn.Module, seed: int) -> nn.Module | None:
    """Return a copy of a network with random weights, in the network's own mode.

    Each layer draws its weights by its own `reset_parameters`, as when it was built. Parameters of other modules, such as
    a transformer's class token, keep their values in a random order. The network itself is not changed.

    Args:
        seed: the seed that the weights are drawn from; torch's global generator is restored afterwards.

    Returns:
        The copy; `None` if the network has no weights that can be drawn, such as a network of integer kernels.
    """
    copied = private_copy(network)
    drawn = False
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for module in copied.modules():
            own = list(module.parameters(recurse=False))
            reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
            if callable(reset) and not parametrize.is_parametrized(module) and all(map(_is_plain, own)):
                reset()
                drawn = drawn or bool(own)
                continue
            for parameter in own:
                if not _is_plain(parameter):
                    return None
                order = torch.randperm(parameter.numel())
                parameter.copy_(parameter.flatten()[order].reshape(parameter.shape))
                drawn = True
    return copied if drawn else None


def _is_plain(parameter: Tensor) -> bool:
    """Tell whether a parameter is an ordinary tensor of floats, not one that a quantization tool has packed."""
    return type(parameter.data) is Tensor and parameter.is_floating_point() and not parameter.is_quantized
