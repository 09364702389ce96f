"""Opening the network that a text names, and the registry of the kinds of texts."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Protocol

from torch import Tensor, nn

from saq_eval.core.errors import SaqEvalError, in_short
from saq_eval.core.registry import Registry
from saq_eval.data.geometry import Geometry
from saq_eval.networks.architectures import build
from saq_eval.networks.preprocessing import Preprocessing
from saq_eval.networks.sources.text import SourceText, parse_text
from saq_eval.networks.weights import parse_weights, read_bytes, sha256_of

FUNCTION = "function"  # the kind of "module:function", which no prefix names


@dataclass(frozen=True, eq=False)
class Opened:
    """A network that a text named.

    Attributes:
        module: the network in eval mode, on the CPU: float32 (n, c, h, w), normalised as `preprocessing` says, -> logits
            (n, classes).
        architecture: what it was built from: "torchvision:resnet18", "my_pkg.nets:make_net", or an ONNX file's name.
        preprocessing: the normalisation of pixels in [0, 1] that it expects; the identity if that is not known.
        geometry: the size and the crop of pictures that it states; `None` if it states none.
        classes: the names of its outputs; `None` if they are not known.
        weights: SHA-256 of the file of its weights, 64 hexadecimal digits; if it has none, of its tensors.
        file_bytes: the size of that file; 0 if there is none.
        arguments: the keyword arguments that the architecture is built with.
        input_size: height and width of the only images that it can read, without a word on how pictures get that size;
            `None` if it reads others too, or that is not known.
        build: builds the same architecture in eval mode, with new weights drawn from torch's global generator; `None` if
            that cannot be done.
    """

    module: nn.Module
    architecture: str
    preprocessing: Preprocessing
    geometry: Geometry | None
    classes: tuple[str, ...] | None
    weights: str
    file_bytes: int
    build: Callable[[], nn.Module] | None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    input_size: tuple[int, int] | None = None


class Opener(Protocol):
    """Opens the networks of one kind of source; `register_source` registers it."""

    def __call__(self, source: SourceText, *, trust_code: bool) -> Opened:
        """Return the network that a text names; raises `SaqEvalError`."""


@dataclass(frozen=True)
class SourceKind:
    """A kind of source.

    Attributes:
        open: opens a network of that kind.
        takes_file: whether its texts end with "@FILE".
    """

    open: Opener
    takes_file: bool


SOURCES: Registry[SourceKind] = Registry("kind of network source")


def register_source(prefix: str, *, takes_file: bool = True) -> Callable[[Opener], Opener]:
    """Register the decorated function for texts that start with `prefix` and a colon.

    Args:
        prefix: the kind's name, such as "torchvision"; letters, digits and "_".
        takes_file: whether a text of this kind ends with "@FILE"; otherwise "@" is a part of the name.

    Raises:
        SaqEvalError: if the prefix is taken, or is no such name.
    """
    if not (isinstance(prefix, str) and prefix.isidentifier()):
        raise SaqEvalError(f"the prefix of a network source has letters, digits and '_', not {in_short(prefix)}")

    def register(opener: Opener) -> Opener:
        SOURCES.add(prefix, SourceKind(opener, takes_file))
        return opener

    return register


def open_source(text: str, *, trust_code: bool = False) -> Opened:
    """Open the network that a text names; `saq_eval.networks.sources.text` has the grammar.

    Args:
        text: "torchvision:NAME@FILE", "timm:NAME@FILE", "onnx:FILE", "module:function[@FILE]", or a text of another
            registered kind.
        trust_code: whether "module:function" may be imported and run.

    Raises:
        SaqEvalError: an unknown kind or name, a file that is unreadable or does not fit, code that is not trusted or
            fails, or an optional package that is not installed.
    """
    if not isinstance(text, str):
        raise SaqEvalError(f"the source of a network is a text such as torchvision:resnet18@FILE, not {in_short(text)}")
    prefix, colon, rest = (part.strip() for part in text.partition(":"))
    if colon and prefix in SOURCES and prefix != FUNCTION:
        kind = SOURCES[prefix]
    elif re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", prefix) and re.match(r"[^\W\d]\w*\s*([?@]|$)", rest):
        near = get_close_matches(prefix, SOURCES, n=1, cutoff=0.8)
        if near and not trust_code:
            raise _unknown(text, f"did you mean {near[0]}:{rest}? ")
        kind, rest = SOURCES[FUNCTION], text
    else:
        raise _unknown(text, f"did you mean onnx:{text}? " if text.endswith(".onnx") and not colon else "")
    return kind.open(parse_text(text, rest, takes_file=kind.takes_file), trust_code=trust_code)


def source_forms() -> list[tuple[str, str]]:
    """Return the form of each kind's texts, and in one sentence which networks they name."""
    forms = {name: f"{name}:NAME@FILE" if kind.takes_file else f"{name}:FILE" for name, kind in SOURCES.items()}
    forms[FUNCTION] = "module:function[@FILE]"
    return [(form, (inspect.getdoc(SOURCES[name].open) or "").partition("\n")[0]) for name, form in forms.items()]


def _unknown(text: str, hint: str) -> SaqEvalError:
    valid = ", ".join(form for form, _ in source_forms() if not form.startswith("module:"))
    return SaqEvalError(f"{text!r} names no network; {hint}valid: {valid}, or my_package.nets:function[@FILE]")


@dataclass(frozen=True)
class Stored:
    """The tensors of a file of weights, the file's SHA-256, and its size in bytes."""

    tensors: Mapping[str, Tensor]
    sha256: str
    size: int


def read_stored(source: SourceText) -> Stored | None:
    """Read the file that a text names; `None` if it names none; raises `SaqEvalError` if the file cannot be read."""
    if source.file is None:
        return None
    content = read_bytes(source.file)
    return Stored(parse_weights(content, source.file), sha256_of(content), len(content))


def read_named(source: SourceText, state_dict: str) -> Stored:
    """Read the file of weights that a text of a library's network names.

    Args:
        state_dict: code that gives the library's own weights, for a message.

    Raises:
        SaqEvalError: if the text names no file, or the file cannot be read.
    """
    stored = read_stored(source)
    if stored is None:
        raise SaqEvalError(
            f"{source.text}: no file of weights is named, and nothing is downloaded; save them by "
            f"safetensors.torch.save_file({state_dict}, '{source.name}.safetensors'), then add @{source.name}.safetensors"
        )
    return stored


def builds(name: str, builder: Callable[..., nn.Module], arguments: Mapping[str, Any]) -> Callable[[], nn.Module]:
    """Return a function that builds an architecture in eval mode, with weights drawn from torch's global generator."""
    return functools.partial(_built, name, builder, arguments)


def _built(name: str, builder: Callable[..., nn.Module], arguments: Mapping[str, Any]) -> nn.Module:
    return build(name, builder, arguments).eval()
