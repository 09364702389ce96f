"""The text that names a network: `KIND:NAME[?ARGUMENT=VALUE[&ARGUMENT=VALUE…]][@FILE]`.

Examples:
    torchvision:resnet18@weights.safetensors
    torchvision:resnet18?mean=0.5,0.5,0.5&std=0.5,0.5,0.5&size=32@weights.safetensors
    my_pkg.nets:make_net?width=32@weights.safetensors
    onnx:network.onnx?layout=nhwc

The arguments end at the first "@". `mean`, `std`, `size`, `crop`, `interpolation` and `resized` say how pictures are
prepared, for every kind of network. All other arguments belong to the kind; their values are read as YAML.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from saq_eval.core.errors import SaqEvalError, check_choice
from saq_eval.core.paths import user_path
from saq_eval.core.yaml_data import plain_data
from saq_eval.data.geometry import Geometry, Interpolation, Resized
from saq_eval.networks.preprocessing import Preprocessing

_MORE_NUMBERS = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*([&@].*)?", re.IGNORECASE)


@dataclass(frozen=True)
class SourceText:
    """The parts of a text that names a network.

    Attributes:
        text: the whole text, for messages.
        name: what follows the kind: an architecture's name, a path, or "module:function".
        arguments: the arguments that belong to the kind.
        mean, std, size, crop, interpolation, resized: what the text says about the preparation of pictures; `None` if nothing.
        file: the file after "@"; `None` if there is none.
    """

    text: str
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    size: int | None = None
    crop: int | None = None
    interpolation: Interpolation | None = None
    resized: Resized | None = None
    file: Path | None = None

    def preprocessing(self, default: Preprocessing) -> Preprocessing:
        """Return the normalisation: what the text says, else the network's own.

        A text that gives the mean alone, or the standard deviation alone, keeps the default's other half.
        """
        mean, std = self.mean or default.mean, self.std or default.std
        channels = max(len(mean), len(std))
        # One number stands for all channels.
        mean, std = (numbers * channels if len(numbers) == 1 else numbers for numbers in (mean, std))
        try:
            return Preprocessing(mean, std)
        except SaqEvalError as error:
            raise SaqEvalError(f"{self.text}: {error}") from error

    def geometry(self, default: Geometry | None) -> Geometry | None:
        """Return the size and the crop: what the text says, else the network's own. A new size is also the crop's."""
        if (self.size, self.crop, self.interpolation, self.resized) == (None, None, None, None):
            return default
        size, crop = (None, None) if default is None else (default.size, default.crop)
        if self.size is not None:
            size, crop = self.size, None
        if self.crop is not None:
            crop = self.crop
        interpolation = self.interpolation or (default.interpolation if default is not None else "bilinear")
        resized = self.resized or (default.resized if default is not None else "shorter")
        try:
            return Geometry(size, crop, interpolation, resized)
        except SaqEvalError as error:
            raise SaqEvalError(f"{self.text}: {error}; give size= and crop=") from error


def parse_text(text: str, rest: str, *, takes_file: bool) -> SourceText:
    """Split a text that names a network.

    Args:
        text: the whole text, for messages.
        rest: the text without the kind and its colon.
        takes_file: whether "@" separates a file of weights; otherwise it is a part of the name, and only a "?" with an
            "=" after it starts the arguments, so that paths may hold both.

    Raises:
        SaqEvalError: no name, an empty file, an argument that is not `name=value` or is given twice, or a wrong value.
    """
    if takes_file:
        before, at, file = rest.partition("@")
        name, mark, query = before.partition("?")
        if at and not file.strip():
            raise SaqEvalError(f"{text}: the file of weights is missing after '@'")
        if re.search(r"\?\w+=", file) and not os.path.exists(user_path(file)):
            raise SaqEvalError(f"{text}: arguments come before the file, as in {_kind(text)}NAME?argument=1@FILE")
    else:
        at = file = ""
        name, mark, query = rest.rpartition("?")
        if not (mark and "=" in query):
            name, mark, query = rest, "", ""
    if not name.strip():
        raise SaqEvalError(f"{text!r}: a name is missing after {_kind(text)}")
    given = _arguments(text, query) if mark else {}
    return SourceText(
        text,
        name.strip(),
        {key: _yaml(text, key, value) for key, value in given.items() if key not in _PREPARATION},
        file=user_path(file.strip()) if at else None,
        **{key: read(text, key, given[key]) for key, read in _PREPARATION.items() if key in given},
    )


def split_sources(text: str) -> list[str]:
    """Split a comma-separated list of texts that name networks.

    A part that is a number, after a text whose arguments have not ended, belongs to that text; so do commas in brackets.

    Example: "cnn-fp32,torchvision:resnet18?mean=0.5,0.5,0.5@r.pt" -> ["cnn-fp32", "torchvision:resnet18?mean=…@r.pt"].
    """
    sources: list[str] = []
    for part in (part.strip() for part in text.split(",")):
        before, mark, query = sources[-1].partition("?") if sources else ("", "", "")
        open_arguments = mark and "@" not in before + query
        in_brackets = query.count("[") > query.count("]")
        if open_arguments and (in_brackets or _MORE_NUMBERS.fullmatch(part)):
            sources[-1] += f",{part}"
        elif part:
            sources.append(part)
    return sources


def _kind(text: str) -> str:
    return text.partition(":")[0] + ":"


def _arguments(text: str, query: str) -> dict[str, str]:
    given: dict[str, str] = {}
    for part in query.split("&"):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (key.isidentifier() and equals and value):
            raise SaqEvalError(f"{text}: an argument is written name=value, as in ?width=32&depth=2, not {part!r}")
        if key in given:
            raise SaqEvalError(f"{text}: the argument {key!r} is given twice")
        given[key] = value
    return given


def _yaml(text: str, key: str, value: str) -> Any:
    try:
        return plain_data(value)
    except SaqEvalError as error:
        raise SaqEvalError(f"{text}: {key}={value} is no value that YAML can read: {error}") from error


def _numbers(text: str, key: str, value: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in value.split(","))
    except ValueError:
        numbers = (math.nan,)
    if not all(map(math.isfinite, numbers)):
        raise SaqEvalError(f"{text}: {key} is a number, or one for each channel, as in 0.5,0.5,0.5, not {value!r}")
    return numbers


def _pixels(text: str, key: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value) or int(value) < 1:
        raise SaqEvalError(f"{text}: {key} is a number of pixels, such as 224, not {value!r}")
    return int(value)


def _interpolation(text: str, key: str, value: str) -> Interpolation:
    check_choice(key, value, Interpolation)
    return cast(Interpolation, value)


def _resized(text: str, key: str, value: str) -> Resized:
    check_choice(f"value of {key}", value, Resized)
    return cast(Resized, value)


_PREPARATION: dict[str, Callable[[str, str, str], Any]] = {
    "mean": _numbers,
    "std": _numbers,
    "size": _pixels,
    "crop": _pixels,
    "interpolation": _interpolation,
    "resized": _resized,
}
