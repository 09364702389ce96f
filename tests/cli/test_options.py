import pytest

from saq_eval import SaqEvalError
from saq_eval.cli.options import arguments_of, names


def test_lists_may_be_repeated_and_separated_by_commas():
    assert names(["a, b,", "", "c"]) == ["a", "b", "c"]
    assert names(None) == []


def test_arguments_are_json_or_yaml():
    assert arguments_of("{width: 16}") == arguments_of('{"width": 16}') == {"width": 16}


@pytest.mark.parametrize("text", ["[1]", "16", "{1: 2}", "{", ""])
def test_arguments_that_are_no_mapping(text):
    with pytest.raises(SaqEvalError, match="--arguments is a mapping from names to values"):
        arguments_of(text)
