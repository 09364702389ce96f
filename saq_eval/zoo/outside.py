"""What somebody may have meant who named a network outside the zoo as if it were a model of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePath

from saq_eval.core.errors import SaqEvalError, unknown_name
from saq_eval.networks.libraries import LIBRARIES, library_builder

_WEIGHTS = (".safetensors", ".pt", ".pth", ".bin")


def unknown_model(kind: str, name: str, valid: Iterable[str]) -> SaqEvalError:
    """Return the error of `unknown_name`, and how the network is named if it is one outside the zoo."""
    start = f"unknown {kind} {name!r}"
    return SaqEvalError(f"{start}{in_brackets(name)}{str(unknown_name(kind, name, valid)).removeprefix(start)}")


def in_brackets(*names: str) -> str:
    """Return, in brackets, how the first of the names that is of a network outside the zoo is written; "" if none is."""
    form = next(filter(None, map(source_form, names)), "")
    return f" (a network outside the zoo is given as NAME={form})" if form else ""


def source_form(text: str) -> str:
    """Return the text that names a network outside the zoo, for a text that lacks a part of it; "" if it is none.

    Examples:
        "net.onnx" -> "onnx:net.onnx"
        "resnet18" -> "torchvision:resnet18@FILE"
        "w.safetensors" -> "torchvision:ARCHITECTURE@w.safetensors or my_package.nets:function@w.safetensors"
        "my_nets.make" -> "my_nets:make"
    """
    bare = re.split(r"[?@]", text, maxsplit=1)[0]
    suffix = PurePath(bare).suffix.lower()
    if suffix == ".onnx" and ":" not in bare:
        return f"onnx:{text}"
    if suffix in _WEIGHTS and ":" not in bare:
        return f"torchvision:ARCHITECTURE@{text} or my_package.nets:function@{text}"
    if re.fullmatch(r"[^\W\d][\w.]*:\S+", bare):
        return text
    if re.fullmatch(r"[^\W\d]\w*(\.\w+)?", bare):
        library = next((library for library in LIBRARIES if _has(library, bare)), "")
        if library:
            return f"{library}:{text}" if "@" in text else f"{library}:{text}@FILE"
    module, dot, function = bare.rpartition(".")
    if dot and all(part.isidentifier() for part in bare.split(".")):
        return f"{module}:{function}{text.removeprefix(bare)}"
    return ""


def _has(library: str, name: str) -> bool:
    """Tell whether an installed library has an architecture."""
    try:
        return library_builder(f"{library}:{name}") is not None
    except SaqEvalError:
        return False
