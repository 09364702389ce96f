"""Names with parameters, as on the command line: `integrated_gradients:n_steps=64,fill=blur`.

The parameters of a method or metric are the keyword-only parameters of its function. Their annotations say which
values are valid (Pydantic). Every parameter has a default.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Protocol, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from saq_eval.core.errors import SaqEvalError, unknown_name

# Old names of parameters, and their present names. The old names still work.
FORMER_NAMES = {"baseline": "fill"}

# Kinds of parameters, for annotations.
Count = Annotated[int, Field(ge=1, le=10_000)]  # of steps, samples or masks, each of which takes a pass of the network
Pixels = Annotated[int, Field(ge=1)]  # of a window, a step or a subset; the image sets the upper limit
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
    """Split one name with parameters into the name and the parameters' values as text.

    Raises:
        SaqEvalError: a part that is not `parameter=value`, or a parameter given twice.
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
    """Return the keyword-only parameters of a function, with their defaults."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def fill_parameters(name: str, function: Callable, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all parameters of a function; check the given ones and convert them to their types.

    Args:
        name: the function's name, for messages.
        function: see `defaults`.
        given: values, or texts of values, by parameter name; old names are accepted too (see `FORMER_NAMES`).

    Raises:
        SaqEvalError: a parameter that the function does not have, a value that is not valid, or one parameter given
            under its old and its present name.
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
    """Return a name with the parameters that differ from their defaults, in the form that `parse_spec` reads."""
    usual = defaults(function)
    changed = [f"{key}={value}" for key, value in parameters.items() if value != usual[key]]
    return f"{name}:{','.join(changed)}" if changed else name


class Labelled(Protocol):
    """Something with a label: a text of its name and its parameters."""

    @property
    def label(self) -> str: ...


T = TypeVar("T", bound=Labelled)


def find_several(
    kind: str, specs: Sequence[str], sets: Mapping[str, Sequence[str]], names: Iterable[str], find: Callable[[str], T]
) -> list[T]:
    """Return the things that specs stand for; a set's name stands for all of its members, and repetitions are dropped.

    Args:
        kind: what a spec stands for, such as "metric", for messages.
        specs: names with parameters, or names of sets.
        sets: the specs of each set, by the set's name.
        names: the valid names other than those of sets, for messages.
        find: returns the thing that one spec stands for.

    Raises:
        SaqEvalError: as `find` does; a spec that is no text; or no spec at all.
    """
    for spec in specs:
        if not isinstance(spec, str):
            raise unknown_name(kind, spec, (*sets, *names))
    found = [find(each) for spec in specs for each in sets.get(spec.casefold(), [spec])]
    if not found:
        raise SaqEvalError(f"at least one {kind} is needed; valid: {', '.join((*sets, *names))}")
    return list({each.label: each for each in found}.values())
