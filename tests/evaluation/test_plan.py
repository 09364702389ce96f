import inspect
from dataclasses import fields
from typing import get_args

import pytest

import saq_eval
from saq_eval import SaqEvalError
from saq_eval.evaluation.configuration import Configuration
from saq_eval.evaluation.plan import Group, Plan, kinds, merge, options


def test_every_field_belongs_to_a_group_and_has_words_for_its_documentation():
    for name, option in options().items():
        assert option.metadata["group"] in get_args(Group)
        words = f"\n        {name}: " in inspect.cleandoc(Plan.__doc__).replace("\n    ", "\n        ")
        assert words, f"the docstring of Plan says nothing of {name}"
        assert option.metadata["says"] or name == "progress"
    groups = [option.metadata["group"] for option in options().values()]
    assert groups == sorted(groups, key=get_args(Group).index)


def test_arguments_and_configuration_derive_from_the_fields():
    names = [each.name for each in fields(Plan)]
    assert list(inspect.signature(saq_eval.compare).parameters) == names
    assert set(Configuration.__annotations__) == set(names) - {"progress", "trust_code"}


def test_how_a_value_is_given_follows_from_its_type():
    known = kinds()
    assert list(known) == [each.name for each in fields(Plan)]
    assert {name for name, kind in known.items() if kind == "path"} == {
        *("classes", "masks", "boxes", "data_root", "zoo", "output", "store")
    }
    assert {name for name, kind in known.items() if kind == "switch"} == {
        "progress",
        "trust_code",
        *("fail_fast", "fresh", "join", "save_maps", "compile"),
    }
    expected = {"samples": "whole number", "margin": "number", "target": "text", "models": "names", "metrics": "specs"}
    assert expected.items() <= known.items()


def test_one_name_stands_for_a_list():
    plan = Plan("digits", models="cnn-*", methods=("lrp",), formats="json")
    assert (plan.models, plan.methods, plan.metrics, plan.formats) == (["cnn-*"], ["lrp"], None, ["json"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"workers": 0}, r"workers lies between 1 and \d+, not 0"),
        ({"samples": 2.5}, "samples is a whole number, not 2.5"),
        ({"margin": 0}, "margin is above 0"),
        ({"target": "labels"}, "unknown target 'labels'; did you mean 'label'"),
        ({"save_maps": True}, "maps are kept in the output folder"),
        ({"join": True}, "two processes join at one output folder: name it"),
        ({"executor": "threads"}, "unknown executor 'threads'; valid: processes, dask"),
        ({"scheduler": "tcp://a:1"}, "a scheduler is an address of Dask: say executor dask with it"),
        ({"methods": [3]}, "a method is asked for by its name, not by 3"),
    ],
)
def test_a_plan_is_checked(given, message):
    with pytest.raises(SaqEvalError, match=message):
        Plan("digits", **given)


def test_an_unknown_argument_is_an_error_of_the_call():
    with pytest.raises(TypeError, match=r"compare\(\) got an unexpected keyword argument 'sample'"):
        saq_eval.compare("digits", sample=3)


def test_what_is_given_later_comes_first():
    assert merge({"samples": 3, "seed": 4}, {"samples": 5, "seed": None}) == {"samples": 5, "seed": 4}
