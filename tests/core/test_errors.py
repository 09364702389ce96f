"""What messages say."""

import pickle
from typing import Literal

import numpy as np
import pytest
from torch import nn

from saq_eval import SaqEvalError
from saq_eval.core.errors import (
    Stopped,
    Unsupported,
    check_choice,
    first_line,
    in_short,
    ordinary_errors,
    shortened,
    unknown_name,
)


def test_an_error_is_caught_as_a_value_error():
    with pytest.raises(ValueError, match="^unknown metric 'x'"):
        raise unknown_name("metric", "x", ["SSIM"])


@pytest.mark.parametrize("value", [None, True, 3, 0.5, "ssim", ("a", 1), ["a"], {"a": 1}])
def test_a_short_plain_value_is_named_as_it_is_written(value):
    assert in_short(value) == repr(value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.zeros(3), "a ndarray"),
        (nn.Linear(2, 2), "a Linear"),
        ("x" * 300, "a str"),
        (list(range(300)), "a list"),
        (len, "the builtin_function_or_method len"),
        (SaqEvalError, "the type SaqEvalError"),
    ],
)
def test_what_is_long_or_no_plain_value_is_named_by_its_type(value, said):
    assert in_short(value) == said


def test_an_unknown_name_gets_the_nearest_one_whatever_its_case():
    assert str(unknown_name("metric", "ssmi", ["PointingGame", "SSIM"])) == (
        "unknown metric 'ssmi'; did you mean 'SSIM'? valid: PointingGame, SSIM"
    )


def test_an_unknown_name_that_is_near_to_none_gets_the_valid_ones():
    assert str(unknown_name("metric", "zzz", iter(["A", "B"]))) == "unknown metric 'zzz'; valid: A, B"


def test_what_is_given_in_a_names_place_is_named_by_its_type():
    message = str(unknown_name("metric", np.zeros((100, 100)), ["SSIM"]))
    assert message == "a metric is asked for by its name, not by a ndarray; valid: SSIM"


def test_a_value_is_one_of_a_types_choices():
    check_choice("colour", "red", Literal["red", "green"])
    with pytest.raises(SaqEvalError, match="unknown colour 'rde'; did you mean 'red'"):
        check_choice("colour", "rde", Literal["red", "green"])
    with pytest.raises(SaqEvalError, match="a colour is asked for by its name, not by 3"):
        check_choice("colour", 3, Literal["red", "green"])


def test_a_refusal_has_a_reason_and_survives_a_process():
    error = Unsupported("no gradient reaches the image", "others need none: rise", "saliency")
    assert str(error) == "saliency: no gradient reaches the image; others need none: rise"
    assert isinstance(error, SaqEvalError) and str(Unsupported("no weights")) == "no weights"
    again = pickle.loads(pickle.dumps(error))
    assert (again.reason, str(again)) == (error.reason, str(error))


def test_long_lists_and_long_errors_are_shortened():
    assert shortened(["a", "b"]) == "a, b" and shortened(list("abcde")) == "a, b, c and 2 more"
    assert first_line(ValueError("one\ntwo")) == "ValueError: one" and first_line(KeyError()) == "KeyError"


@pytest.mark.parametrize("told", [KeyboardInterrupt, Stopped])
def test_who_tells_a_command_to_end_is_no_error_of_a_network(told):
    with pytest.raises(told), ordinary_errors():
        raise told
    with pytest.raises(Exception, match="SystemExit: 3") as caught, ordinary_errors():
        raise SystemExit(3)
    assert first_line(caught.value) == "SystemExit: 3"
