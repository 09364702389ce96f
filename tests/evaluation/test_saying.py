"""How a plan is said, and that what is said can be read again."""

import json
import shlex

import numpy as np
import pytest
from torch import nn

from saq_eval import SaqEvalError
from saq_eval.evaluation.configuration import read_configuration
from saq_eval.evaluation.plan import Plan, options
from saq_eval.evaluation.saying import command, said


def test_a_plan_says_what_repeats_it_but_not_where_things_lie():
    plan = Plan("digits", models=["a b", "c"], samples=5, save_maps=True, output="here", zoo="there", formats=["json"])
    usual = {name: option.default for name, option in options().items() if type(option.default) in (str, int, float)}
    usual.pop("executor")  # results are the same for any
    assert {"target": "label", "seed": 0, "margin": 0.2, "batch_size": 64}.items() <= usual.items()
    given = {"dataset": "digits", "models": ["a b", "c"], "samples": 5, "save_maps": True, "formats": ["json"]}
    assert said(plan) == usual | given
    words = shlex.split(command(plan))
    assert words[:6] == ["saq-eval", "compare", "--dataset", "digits", "--models", "a b,c"]
    assert "--save-maps" in words and "--output" not in words and words[-2:] == ["--formats", "json"]


def test_networks_outside_the_zoo_are_said_as_they_were_named():
    plan = Plan(
        "folder:my pictures", models=["a", "fp32=torchvision:resnet18?mean=0.5,0.5,0.5@w.safetensors"], baseline="fp32"
    )
    words = shlex.split(command(plan))
    assert words[2:4] == ["--model", "fp32=torchvision:resnet18?mean=0.5,0.5,0.5@w.safetensors"]
    assert words[words.index("--models") + 1] == "a" and words[words.index("--dataset") + 1] == "folder:my pictures"
    alone = shlex.split(command(Plan("digits", models=["fp32=onnx:n.onnx"])))
    assert (
        "--models" not in alone
        and plan.outside == {"fp32": plan.models[1].partition("=")[2]}
        and plan.zoo_models == ["a"]
    )


def centred(batch):
    """A method of one's own."""


def test_objects_are_said_by_name_or_kind_and_no_file_can_name_them(tmp_path):
    arrays = (np.zeros((2, 4, 4)), [0, 1])
    plan = Plan(
        arrays, models={"fp32": nn.Identity(), "cnn-fp32": "cnn-fp32", "int8": "onnx:n.onnx"}, methods=["lrp", centred]
    )
    assert plan.is_of_objects and plan.zoo_models == ["cnn-fp32"]
    plain = said(plan)
    assert plain["models"] == ["fp32=<Identity>", "cnn-fp32", "int8=onnx:n.onnx"]
    assert (plain["dataset"], plain["methods"]) == ("<tuple>", ["lrp", "<centred>"])
    assert command(plan).startswith("saq_eval.compare(<tuple>, models=['fp32=<Identity>'")
    (tmp_path / "run.json").write_text(json.dumps({"plan": plain, "headline": [], "versions": {}}))
    with pytest.raises(SaqEvalError, match="<tuple> was given as an object in Python; no file can name it"):
        read_configuration(tmp_path / "run.json")
