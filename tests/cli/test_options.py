import pytest

from saq_eval import SaqEvalError
from saq_eval.cli.options import arguments_of, named_source, names


def test_lists_may_be_repeated_and_separated_by_commas():
    assert names(["a, b,", "", "c"]) == ["a", "b", "c"]
    assert names(None) == []


def test_a_network_outside_the_zoo_has_a_name_and_a_source():
    assert named_source(" a = onnx:a.onnx?mean=0.5 ") == "a=onnx:a.onnx?mean=0.5"
    for text in ("a.onnx", "a=", "=b", "", "torchvision:resnet18?size=32@w.safetensors"):
        with pytest.raises(
            SaqEvalError, match="--model takes NAME=SOURCE, as in .*a model of the zoo is named by --models"
        ):
            named_source(text)


def test_arguments_are_json_or_yaml():
    assert arguments_of("{width: 16}") == arguments_of('{"width": 16}') == {"width": 16}


@pytest.mark.parametrize("text", ["[1]", "16", "{1: 2}", "{", ""])
def test_arguments_that_are_no_mapping(text):
    with pytest.raises(SaqEvalError, match="--arguments is a mapping from names to values"):
        arguments_of(text)
