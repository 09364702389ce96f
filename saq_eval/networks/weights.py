"""Files of weights: reading them without running code, and loading them into a network."""

from __future__ import annotations

import hashlib
import io
import pickle
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from saq_eval.core.errors import SaqEvalError, SaqEvalWarning, in_short
from saq_eval.core.paths import check_file
from saq_eval.networks.modules import check_finite

_MOST_BYTES = 4 * 2**30
_NAMED = 3  # of the tensors that do not fit, in a message


def read_bytes(path: Path) -> bytes:
    """Return a weights file's content; raises `SaqEvalError` if it cannot be read or is empty."""
    check_file(path, "the weights cannot be read", most_bytes=_MOST_BYTES)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SaqEvalError(f"{path}: the weights cannot be read: {error.strerror}") from error
    if not content:
        raise SaqEvalError(f"{path}: the weights cannot be read: the file is empty")
    return content


def sha256_of(content: bytes) -> str:
    """Return the SHA-256 of a file's content, in the form used on cards: 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def parse_weights(content: bytes, path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file or of a state dict that torch saved (`.pt`, `.pth`).

    A file that torch saved is read as plain tensors only, and a `SaqEvalWarning` recommends safetensors.

    Raises:
        SaqEvalError: if the content is neither, or holds complex, quantized or sparse tensors, NaN or infinity.
    """
    if path.suffix in (".pt", ".pth"):
        tensors = _parse_torch(content, path)
        _check_plain(tensors, path)
        warnings.warn(
            f"{path}: only its tensors were read; safetensors is the safer format: "
            f"safetensors.torch.save_file(torch.load({path.name!r}, weights_only=True), {path.stem + '.safetensors'!r})",
            SaqEvalWarning,
            stacklevel=2,
        )
        return tensors
    try:
        tensors = load_tensors(content)
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise SaqEvalError(
            f"{path}: no valid safetensors file: {error}; write one with safetensors.torch.save_file(network.state_dict(), …)"
        ) from error
    _check_plain(tensors, path)
    return tensors


def _check_plain(tensors: Mapping[Any, Tensor], path: Path) -> None:
    """Raise `SaqEvalError` for a name that is no text, a tensor that is none of plain numbers, and NaN or infinity."""
    for name, tensor in tensors.items():
        if not isinstance(name, str):
            raise SaqEvalError(f"{path}: a tensor is called by a text, not by {in_short(name)}")
        kinds = {
            "complex": tensor.is_complex(),
            "quantized": tensor.is_quantized,
            "sparse": tensor.layout != torch.strided,
            "without values, on the device meta": tensor.is_meta,
        }
        found = next((kind for kind, true in kinds.items() if true), None)
        if found is not None:
            raise SaqEvalError(f"{path}: {name} is {found}; weights are plain tensors of real numbers")
    check_finite(tensors, str(path))


def _parse_torch(content: bytes, path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's words about old ways to save, which are for programmers
            saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # Torch's own text explains how to load the file with its code.
        raise SaqEvalError(
            f"{path}: no state dict that torch saved: UnpicklingError: it is damaged, or holds objects besides tensors, "
            "which are not loaded because that could run code; save one with torch.save(network.state_dict(), …)"
        ) from error
    except Exception as error:  # torch.load may raise many kinds of errors
        reason = str(error).partition("\n")[0]
        raise SaqEvalError(f"{path}: no state dict that torch saved: {type(error).__name__}: {reason}") from error
    state = saved
    for key in ("state_dict", "model"):  # under which training scripts keep it beside the optimizer's state
        if isinstance(saved, Mapping) and isinstance(saved.get(key), Mapping):
            state = saved[key]
            break
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise SaqEvalError(f"{path}: holds no state dict of tensors; save one with torch.save(network.state_dict(), …)")
    return dict(state)


def load_into(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Load a state dict into a network, in place; all tensors must be there, with the network's shapes, and no others.

    Args:
        network: is changed, also if an error is raised.
        tensors: tensors by name.
        source: where the tensors come from, for messages.

    Raises:
        SaqEvalError: if they do not fit. The message names three missing, unexpected and misshapen tensors each.
    """
    own = network.state_dict()
    misshapen = [
        f"{name} of shape {tuple(tensors[name].shape)}, not {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in tensors and isinstance(tensor, Tensor) and tensors[name].shape != tensor.shape
    ]
    try:
        missing, unexpected = network.load_state_dict(_with_versions(network, tensors), strict=False)
    except RuntimeError as error:
        missing, unexpected = [n for n in own if n not in tensors], [n for n in tensors if n not in own]
        if not (missing or unexpected or misshapen):
            raise _misfit(source, " ".join(str(error).split())) from error
    parts = [
        f"{title} {_some(names)}"
        for title, names in (("it lacks", missing), ("the network lacks", unexpected), ("it holds", misshapen))
        if names
    ]
    if parts:
        raise _misfit(source, "; ".join(parts))


def _with_versions(network: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # A file has no version numbers of modules. Some of torchvision's modules refuse a state dict without one, so they get
    # their present one. Torch's own modules do not: for them, no version means that older names are accepted too.
    class State(dict):
        _metadata: dict[str, dict[str, int]]

    state = State(tensors)
    state._metadata = {
        name: {"version": module._version}
        for name, module in network.named_modules()
        if not type(module).__module__.startswith("torch.nn.")
    }
    return state


def _misfit(source: str, reason: str) -> SaqEvalError:
    return SaqEvalError(f"{source} does not fit the architecture: {reason}")


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
