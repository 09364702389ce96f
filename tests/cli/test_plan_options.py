"""The options of `saq-eval compare` are those of a plan."""

import inspect
import typing
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from saq_eval import SaqEvalError
from saq_eval.cli.plan_options import arguments_of_plan, check_images_are_named, takes_a_plan
from saq_eval.evaluation.plan import options


@takes_a_plan()
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


def test_a_command_may_take_some_fields_only():
    @takes_a_plan("dataset", "mean")
    def some(index: Annotated[int, typer.Option()], **plan: Any) -> None:
        """A command with two options of a plan and one of its own."""

    assert list(inspect.signature(some).parameters) == ["dataset", "mean", "index"]


def test_networks_outside_the_zoo_come_behind_its_models():
    assert arguments_of_plan({"models": ["a"]}, ["b = onnx:b.onnx"]) == {"models": ["a", "b=onnx:b.onnx"]}
    assert arguments_of_plan({"models": None}, ["b=onnx:b.onnx"]) == {"models": ["b=onnx:b.onnx"]}
    assert arguments_of_plan({"models": None}) == {"models": None}


def test_images_have_to_be_named():
    check_images_are_named({"dataset": "digits"}, "explain")
    with pytest.raises(SaqEvalError, match="^say which images to explain: --dataset digits, .*folder:PATH"):
        check_images_are_named({"dataset": None}, "explain")


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
