"""Names with parameters, as on the command line: `integrated_gradients:n_steps=64,fill=blur`.

The parameters of a thing are the keyword-only parameters of its function; their annotations say what
they may be (Pydantic), their defaults what they are otherwise.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Protocol, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from saq_eval.core.errors import SaqEvalError, unknown_name

# What parameters were once called, with what they are called now. The old names go on working.
FORMER_NAMES = {"baseline": "fill"}

# Kinds of parameters, for annotations.
Count = Annotated[int, Field(ge=1, le=10_000)]  # of steps, samples, masks: what takes a pass of the network each
Pixels = Annotated[int, Field(ge=1)]  # of a window, a step, a subset: the image sets the upper limit
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, lt=1)]


def split_specs(text: str) -> list[str]:
    """Split a comma-separated list of names; a part such as `fill=blur` belongs to the name before it.

    Example: "saliency,occlusion:window=5,fill=blur" -> ["saliency", "occlusion:window=5,fill=blur"].
    """
    specs: list[str] = []
    for part in (part.strip() for part in text.split(",")):
        if specs and "=" in part and ":" not in part.partition("=")[0]:
            specs[-1] += f",{part}"
        elif part:
            specs.append(part)
    return specs


def parse_spec(text: str) -> tuple[str, dict[str, str]]:
    """Split one name with parameters into the name and the parameters' texts.

    Raises:
        SaqEvalError: a part that is no `parameter=value`, or a parameter given twice.
    """
    name, colon, rest = text.partition(":")
    given: dict[str, str] = {}
    for part in rest.split(",") if colon else ():
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (key and equals and value):
            raise SaqEvalError(f"{text!r}: a parameter is written name=value, as in {name}:parameter=1, not {part!r}")
        if key in given:
            raise SaqEvalError(f"{text!r}: the parameter {key!r} is given twice")
        given[key] = value
    return name.strip(), given


def defaults(function: Callable) -> dict[str, Any]:
    """Return the parameters of a function, those that are keyword-only, with their defaults."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def fill_parameters(name: str, function: Callable, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all parameters of a function, those given checked and converted to their types.

    Args:
        name: what the function is called, for messages.
        function: see `defaults`.
        given: values, or texts of them, by the parameters' names; see `FORMER_NAMES`.

    Raises:
        SaqEvalError: a parameter that the function does not have, a value that it does not take, or one parameter
            under both of its names.
    """
    filled = defaults(function)
    hints = typing.get_type_hints(function, include_extras=True)
    for key, value in given.items():
        known = key if key in filled else FORMER_NAMES.get(key, key)
        if known not in filled:
            if not filled:
                raise SaqEvalError(f"{name} has no parameters, so {key}={value} says nothing")
            raise unknown_name(f"parameter of {name}", key, filled)
        if known != key and known in given:
            raise SaqEvalError(f"{name}: {key} is the old name of {known}: give one of the two")
        try:
            filled[known] = TypeAdapter(hints[known]).validate_python(value)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise SaqEvalError(f"{name}: {key}={value}: {reason[:1].lower()}{reason[1:]}") from None
    return filled


def label(name: str, parameters: Mapping[str, Any], function: Callable) -> str:
    """Return a name with those parameters that differ from their defaults, as `split_specs` and `parse_spec` read it."""
    usual = defaults(function)
    changed = [f"{key}={value}" for key, value in parameters.items() if value != usual[key]]
    return f"{name}:{','.join(changed)}" if changed else name


class Labelled(Protocol):
    """A thing with parameters, and the text that stands for both."""

    @property
    def label(self) -> str: ...


T = TypeVar("T", bound=Labelled)


def find_several(
    kind: str, specs: Sequence[str], sets: Mapping[str, Sequence[str]], names: Iterable[str], find: Callable[[str], T]
) -> list[T]:
    """Return what specs stand for, sets of them taken apart and repetitions dropped.

    Args:
        kind: what they are, for messages.
        specs: names with parameters, or names of sets.
        sets: the specs that the name of a set stands for.
        names: those that are valid beside the sets', for messages.
        find: returns what one spec stands for.

    Raises:
        SaqEvalError: as `find` does, a spec that is no text, or if none is left.
    """
    for spec in specs:
        if not isinstance(spec, str):
            raise unknown_name(kind, spec, (*sets, *names))
    found = [find(each) for spec in specs for each in sets.get(spec.casefold(), [spec])]
    if not found:
        raise SaqEvalError(f"at least one {kind} is needed; valid: {', '.join((*sets, *names))}")
    return list({each.label: each for each in found}.values())
