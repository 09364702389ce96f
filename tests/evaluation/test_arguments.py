"""Values of a plan's fields, brought into one form."""

import pytest

from saq_eval import SaqEvalError
from saq_eval.evaluation.arguments import listed, named, numbers


def test_one_value_stands_for_a_list():
    assert listed("metric", "SSIM", functions=False) == ["SSIM"] == listed("metric", iter(["SSIM"]), functions=False)
    assert numbers("mean", 0.5) == [0.5] == numbers("mean", (0.5,))
    assert listed("metric", None, functions=False) is None is numbers("mean", None)
    assert listed("metric", [len, "SSIM"], functions=True) == [len, "SSIM"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: listed("model", [len], functions=False), "a model is asked for by its name, not by the .*len"),
        (lambda: numbers("std", "0.5"), "std is one finite number per channel, not '0.5'"),
        (lambda: numbers("std", [float("nan")]), "std is one finite number per channel"),
        (lambda: numbers("std", []), "std is one finite number per channel"),
        (lambda: named({1: "cnn"}), "a network's name is a text, not 1"),
        (lambda: named({}), "at least one model is needed"),
    ],
)
def test_other_values_are_refused(call, message):
    with pytest.raises(SaqEvalError, match=message):
        call()
