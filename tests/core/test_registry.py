import pytest
import torch
from torch import nn

from saq_eval import SaqEvalError
from saq_eval.core.registry import Registry


def test_unknown_names_get_the_nearest_match_and_all_valid_ones():
    registry = Registry("metric")
    registry.add("PointingGame", 1)
    registry.add("SSIM", 2)
    with pytest.raises(SaqEvalError, match="unknown metric 'pointinggame'; did you mean 'PointingGame'"):
        registry["pointinggame"]
    with pytest.raises(SaqEvalError, match="unknown metric 'zzz'; valid: PointingGame, SSIM"):
        registry["zzz"]
    assert "SSIM" in registry and "ssim" not in registry


def test_names_in_any_case_where_one_alone_fits():
    registry = Registry("metric", any_case=True)
    for number, name in enumerate(("SSIM", "Focus", "focus")):
        registry.add(name, number)
    assert registry["ssim"] == registry["Ssim"] == 0 and "ssim" in registry
    assert (registry["Focus"], registry["focus"]) == (1, 2)
    with pytest.raises(SaqEvalError, match="unknown metric 'FOCUS'"):
        registry["FOCUS"]


def some_function():
    raise AssertionError


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (some_function, "the function some_function"),
        (nn.Linear(3, 4), "a Linear"),
        (torch.zeros(3), "a Tensor"),
        (3, "3"),
        (["x" * 300], "a list"),
    ],
)
def test_what_is_no_name_is_named_by_its_type(given, named):
    registry = Registry("method")
    registry.add("saliency", 1)
    with pytest.raises(SaqEvalError) as caught:
        registry[given]
    assert str(caught.value) == f"a method is asked for by its name, not by {named}; valid: saliency"


def test_a_name_is_registered_once():
    registry = Registry("method")
    registry.add("a", 1)
    with pytest.raises(SaqEvalError, match="the method 'a' is registered already"):
        registry.add("a", 2)
    assert list(registry) == ["a"] and registry["a"] == 1
