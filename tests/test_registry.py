import pytest

from saq_eval import SaqEvalError
from saq_eval.registry import Registry


def test_unknown_names_get_the_nearest_match_and_all_valid_ones():
    registry = Registry("metric")
    registry.add("PointingGame", 1)
    registry.add("SSIM", 2)
    with pytest.raises(SaqEvalError, match="unknown metric 'pointinggame'; did you mean 'PointingGame'"):
        registry["pointinggame"]
    with pytest.raises(SaqEvalError, match="unknown metric 'zzz'; valid: PointingGame, SSIM"):
        registry["zzz"]
    assert "SSIM" in registry and "ssim" not in registry


def test_a_name_is_registered_once():
    registry = Registry("method")
    registry.add("a", 1)
    with pytest.raises(SaqEvalError, match="the method 'a' is registered already"):
        registry.add("a", 2)
    assert list(registry) == ["a"] and registry["a"] == 1
