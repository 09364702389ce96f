"""Clips beside what a search over the values themselves finds."""

import pytest
import torch

from saq_eval import SaqEvalError
from saq_eval.quantization import PACTActivation
from saq_eval.quantization.calibration.clips import ClipRule, find_clip


def clip_of(values, rule="mse", levels=15):
    return find_clip(lambda: values.split(100), ClipRule.parse(rule), levels, "act1")


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("shape", ["half normal", "heavy tail", "few levels"])
def test_no_other_clip_has_a_much_smaller_error(shape, bits):
    values = torch.randn(5000).relu()
    if shape == "heavy tail":
        values = values * torch.randn(5000).exp()
    if shape == "few levels":
        values = torch.randint(0, 4, (5000,)).float()

    def error(clip):
        with torch.no_grad():
            return (PACTActivation(bits, clip)(values) - values).square().mean().item()

    found = clip_of(values, levels=2**bits - 1)
    searched = min(error(share * values.max().item()) for share in torch.linspace(0.01, 1, 500).tolist())
    assert error(found) <= 1.05 * searched + 1e-6


def test_a_quantile_counts_zeros():
    values = torch.cat([torch.zeros(500), torch.arange(1, 501) / 500])
    assert clip_of(values, "quantile:0.75") == pytest.approx(0.5, abs=0.003)
    assert clip_of(values, "quantile:1") == 1.0
    assert clip_of(values, "quantile:0.1") < 0.001


def test_values_without_a_spread():
    assert clip_of(torch.zeros(200)) == clip_of(torch.zeros(200), "quantile:0.9") == 1.0
    assert clip_of(torch.full((200,), 0.7)) == pytest.approx(0.7)
    assert clip_of(torch.full((200,), 1e-30)) > 0


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
def test_values_that_are_not_finite_are_named(wrong):
    values = torch.ones(300)
    values[250] = wrong
    with pytest.raises(SaqEvalError, match="the clip of act1 cannot be found: the values that it reads are not finite"):
        clip_of(values)


@pytest.mark.parametrize("text", ["", "max", "mse:", "quantile", "quantile:0", "quantile:1.1", "quantile:x", 0.9, None])
def test_an_unknown_rule_is_one_sentence(text):
    with pytest.raises(SaqEvalError, match="a clip is 'mse', or 'quantile:q'"):
        ClipRule.parse(text)
