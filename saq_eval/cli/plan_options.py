"""The options of the commands that compare and explain, made from the fields of a plan."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from saq_eval.cli.options import named_source, names, numbers
from saq_eval.core.errors import SaqEvalError
from saq_eval.evaluation.plan import Kind, kinds, options

R = TypeVar("R")

_UNASKED = ("progress",)  # set by `--quiet`


def takes_a_plan(*only: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Add options for a plan's fields, before the command's own options; its last parameter is `**plan`.

    Args:
        only: the fields; by default all of them.
    """
    return lambda command: _with_options(command, only or [name for name in options() if name not in _UNASKED])


def _with_options(command: Callable[..., R], asked_for: Iterable[str]) -> Callable[..., R]:
    own = [p for p in inspect.signature(command).parameters.values() if p.kind is not p.VAR_KEYWORD]
    hints = typing.get_type_hints(command, include_extras=True)
    asked = {name: _type(name) for name in asked_for}
    every = asked | {parameter.name: hints[parameter.name] for parameter in own}
    command.__annotations__ = every | {"return": None}
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # what typer reads
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
            for name, annotation in asked.items()
        ]
        + [p.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[p.name]) for p in own]
    )
    return command


def _type(name: str) -> Any:
    """Return the type of a field's option; `None` stands for an option that is not given."""
    kind, says = kinds()[name], options()[name].metadata["says"]
    if kind == "switch":
        return Annotated[bool | None, typer.Option(f"--{name.replace('_', '-')}", help=says)]
    types: dict[Kind, Any] = {"path": Path, "names": list[str], "whole number": int, "number": float}
    return Annotated[types.get(kind, str) | None, typer.Option(help=says)]


def arguments_of_plan(given: dict[str, Any], model: Iterable[str] | None = None) -> dict[str, Any]:
    """Return the given options as keyword arguments of `saq_eval.compare`; `None` for options that are not given.

    Args:
        model: the texts of `--model`, which come behind those of `--models`.
    """
    from saq_eval.core.specs import split_specs

    read: dict[Kind, Callable[[Any], Any]] = {"names": names, "specs": split_specs, "numbers": numbers}
    arguments = {
        name: value if value is None else read.get(kinds()[name], lambda same: same)(value)
        for name, value in given.items()
    }
    if model:
        arguments["models"] = [*(arguments["models"] or ()), *map(named_source, model)]
    return arguments


def check_images_are_named(arguments: Mapping[str, Any], purpose: str) -> None:
    """Raise `SaqEvalError` if a command's arguments do not say which images it is about."""
    if arguments.get("dataset") is None:
        raise SaqEvalError(
            f"say which images to {purpose}: --dataset digits, mnist, fashionmnist or planted, or folder:PATH for your own "
            "pictures"
        )
