"""The options of `saq-eval compare` are those of a plan."""

import inspect
import typing
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from saq_eval.cli.plan_options import arguments_of_plan, takes_a_plan
from saq_eval.evaluation.plan import options


@takes_a_plan
def command(quiet: Annotated[bool, typer.Option()] = False, **plan: Any) -> dict[str, Any]:
    return {"quiet": quiet, **plan}


def test_a_command_gets_an_option_for_each_field_and_keeps_its_own():
    parameters = inspect.signature(command).parameters
    assert list(parameters) == [*(name for name in options() if name != "progress"), "quiet"]
    assert all(parameters[name].default is None for name in options() if name != "progress")
    assert parameters["quiet"].default is False


@pytest.mark.parametrize(
    ("name", "kind"),
    [("models", list[str]), ("methods", str), ("samples", int), ("margin", float), ("zoo", Path), ("trust_code", bool)],
)
def test_an_option_has_its_fields_type_and_words(name, kind):
    hint = inspect.signature(command).parameters[name].annotation
    given, option = typing.get_args(hint)
    assert kind in typing.get_args(given) and type(None) in typing.get_args(given)
    assert option.help == options()[name].metadata["says"]


def test_lists_are_read_and_what_is_not_given_stays_none():
    given = arguments_of_plan(
        {"models": ["cnn-fp32,cnn-w2a2", "cnn-w4a4"], "methods": "saliency,occlusion:window=5,stride=2", "seed": 3}
        | {"metrics": None}
    )
    assert given == {
        "models": ["cnn-fp32", "cnn-w2a2", "cnn-w4a4"],
        "methods": ["saliency", "occlusion:window=5,stride=2"],
        "seed": 3,
        "metrics": None,
    }
