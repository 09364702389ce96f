"""Names with parameters, as on the command line: `integrated_gradients:n_steps=64,fill=blur`.

The parameters of a method or metric are the keyword-only parameters of its function. Their annotations say which
values are valid (Pydantic). Every parameter has a default.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from saq_eval.core.errors import SaqEvalError, in_short, unknown_name

# Old names of parameters, and their present names. The old names still work.
FORMER_NAMES = {"baseline": "fill"}

# What computes the scores of metrics: see `saq_eval.metrics.native`.
Engine = Literal["native", "quantus"]

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
            filled[known] = TypeAdapter(hints.get(known, Any)).validate_python(value)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise SaqEvalError(f"{name}: {key}={value}: {reason[:1].lower()}{reason[1:]}") from None
    return filled


def label(name: str, parameters: Mapping[str, Any], function: Callable) -> str:
    """Return a name with the parameters that differ from their defaults, in the form that `parse_spec` reads."""
    usual = defaults(function)
    changed = {key: value for key, value in parameters.items() if value != usual[key]}
    return f"{name}:{stated(changed)}" if changed else name


def stated(parameters: Mapping[str, Any]) -> str:
    """Return parameters in the form used on the command line, such as `n_steps=32,fill=black`."""
    return ",".join(f"{key}={value}" for key, value in parameters.items())


def function_name(kind: str, function: Callable, taken: Iterable[str]) -> str:
    """Return the name under which a user's function is a method or metric: its `__name__`, without leading underscores.

    Args:
        kind: what the function is to be, such as "metric", for messages.
        function: a function, or a `functools.partial` of one that sets keyword-only parameters.
        taken: the registered names.

    Raises:
        SaqEvalError: for a function without a name of its own, such as a lambda; whose name is taken; or that has a
            keyword-only parameter without a default.
    """
    function = plain_function(kind, function)
    name = getattr(function, "__name__", None)
    valid = name.strip("_") if isinstance(name, str) else ""
    if not valid.isidentifier():
        shown = name or in_short(function)
        raise SaqEvalError(f"a {kind} given as a function goes by its name, and {shown} is none: write it with `def`")
    if valid.casefold() in {other.casefold() for other in taken}:
        raise SaqEvalError(f"the {kind} {valid!r} is registered already: give the function another name")
    missing = [parameter for parameter, value in defaults(function).items() if value is inspect.Parameter.empty]
    if missing:
        raise SaqEvalError(f"{valid}: every parameter has a default, but {', '.join(missing)} has none")
    return valid


def plain_function(kind: str, function: Callable) -> Callable:
    """Return a function itself, or the function in a `functools.partial` that sets keyword-only parameters."""
    if not isinstance(function, functools.partial):
        return function
    if function.args or not set(function.keywords) <= set(defaults(function.func)):
        raise SaqEvalError(
            f"a {kind} given as a partial function sets keyword-only parameters, not {in_short(function)}"
        )
    return function.func


class Labelled(Protocol):
    """Something with a label: a text of its name and its parameters."""

    @property
    def label(self) -> str: ...


T = TypeVar("T", bound=Labelled)


def find_several(
    kind: str,
    specs: Sequence[str | Callable],
    sets: Mapping[str, Sequence[str]],
    names: Iterable[str],
    find: Callable[[Any], T],
) -> list[T]:
    """Return the things that specs stand for; a set's name stands for all of its members, and repetitions are dropped.

    Args:
        kind: what a spec stands for, such as "metric", for messages.
        specs: names with parameters, names of sets, or functions.
        sets: the specs of each set, by the set's name.
        names: the valid names other than those of sets, for messages.
        find: returns the thing that one spec stands for.

    Raises:
        SaqEvalError: as `find` does; a spec that is neither text nor a function; two functions with one name; or no spec
            at all.
    """
    for spec in specs:
        if not isinstance(spec, str) and not callable(spec):
            raise unknown_name(kind, spec, (*sets, *names))
    every = [
        each for spec in specs for each in (sets.get(spec.casefold(), [spec]) if isinstance(spec, str) else [spec])
    ]
    found, functions = [find(each) for each in every], dict[str, Callable]()
    for thing, each in zip(found, every, strict=True):
        function = None if isinstance(each, str) else plain_function(kind, each)
        if function is not None and functions.setdefault(thing.label, function) is not function:
            raise SaqEvalError(f"two functions are called {thing.label!r}: give one of them another name")
    if not found:
        raise SaqEvalError(f"at least one {kind} is needed; valid: {', '.join((*sets, *names))}")
    return list({each.label: each for each in found}.values())
