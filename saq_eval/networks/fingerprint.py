"""A fingerprint of a network: a hash of what its logits and gradients depend on, as far as it can be read.

Weights alone do not tell networks apart: a bit width, a clip or a temperature may be a plain attribute, and two classes
may use the same weights in different ways. So a network is pickled into a hash, with its weights by value and the code of
the files that define its modules. Where a part cannot be read, there is no fingerprint. A class of a notebook has another
fingerprint each time it is defined.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from pathlib import Path
from typing import Any, cast

import cloudpickle
import torch
from torch import Tensor, nn


def fingerprint(network: nn.Module | dict[str, Any]) -> str | None:
    """Return a SHA-256 that is equal only for networks that are equal in all parts; `None` if a part cannot be read.

    Args:
        network: a network, or its tensors by name; it is not changed.
    """
    digest = _Digest()
    try:
        _Pickler(digest).dump(network)
    except Exception:  # the parts of a user's network may refuse in any way
        return None
    return digest.hash.hexdigest()


def form_of(network: nn.Module) -> str | None:
    """Return what a traced network has in common with others that compute the same with other weights.

    These are its code, its layers with their settings, and the shapes and types of its tensors.

    Returns:
        a text; `None` if the network is not traced, since its code may then do anything.
    """
    if not isinstance(network, torch.fx.GraphModule):
        return None
    settings = (bool, int, float, str, tuple)
    layers = [
        (name, type(module), [(key, value) for key, value in vars(module).items() if isinstance(value, settings)])
        for name, module in network.named_modules()
        if module is not network
    ]
    state = network.state_dict()  # of layers that others have quantized, it holds more than tensors
    tensors = [(name, tuple(value.shape), value.dtype) for name, value in state.items() if isinstance(value, Tensor)]
    others = [(name, value) for name, value in state.items() if not isinstance(value, Tensor)]
    return repr((network.code, layers, tensors, others))


class _Digest:
    """A file that keeps only a hash of what is written to it."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()

    def write(self, content: Any) -> int:
        self.hash.update(content)
        return len(content)


class _Pickler(cloudpickle.Pickler):
    """Pickles tensors by value, since torch's own pickles hold addresses, and modules with their code."""

    def persistent_id(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return None
        plain = value.detach()
        about = (type(value).__qualname__, str(value.dtype), tuple(value.shape), value.requires_grad)
        if hasattr(value, "__tensor_flatten__"):  # as torchao's weights: a tensor made of tensors
            names, context = value.__tensor_flatten__()
            return (*about, *(self.persistent_id(getattr(value, name)) for name in names), repr(context))
        if plain.is_quantized:
            return (*about, repr(plain.qscheme()), self.persistent_id(plain.dequantize()))
        content = plain.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        return (*about, hashlib.sha256(content).digest())

    def reducer_override(self, value: Any) -> Any:
        reduces: Any = type(value).__reduce_ex__
        if isinstance(value, nn.Module) and reduces is object.__reduce_ex__:
            state = cast(Any, value).__getstate__()
            if isinstance(state, dict):
                # Hooks are under numbers that count all hooks of the process.
                hooks = {
                    name: held for name, held in state.items() if name.endswith("_hooks") and isinstance(held, dict)
                }
                state = state | {name: list(held.values()) for name, held in hooks.items()}
            kind: Any = type(value)
            return _rebuilt, (kind, _code_of(kind)), state
        return super().reducer_override(value)


def _rebuilt(kind: type, code: tuple[bytes, ...]) -> None:
    """Stand for a module in its pickle, which nobody loads."""


@functools.lru_cache(maxsize=1024)
def _code_of(kind: type) -> tuple[bytes, ...]:
    """Return hashes of the files that define a class, but those of torch, whose version is known."""
    found = []
    for base in inspect.getmro(kind):
        if base.__module__.partition(".")[0] in ("torch", "builtins"):
            continue
        try:
            found.append(hashlib.sha256(Path(inspect.getfile(base)).read_bytes()).digest())
        except (TypeError, OSError):  # as in a notebook, whose classes are pickled with their code
            found.append(b"")
    return tuple(found)
