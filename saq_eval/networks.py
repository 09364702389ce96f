"""Networks as torch modules, whoever made them: a copy that leaves the original alone."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from saq_eval.errors import SaqEvalError


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
