import warnings

import pytest
import torch

from saq_eval.core.errors import SaqEvalWarning
from saq_eval.training import precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("float32", "bfloat16", "chosen"), [(0.017, 0.160, "float32"), (0.04, 0.01, "bfloat16"), (0.020, 0.019, "float32")]
)
def test_the_faster_precision_is_taken_where_it_pays(float32, bfloat16, chosen, monkeypatch):
    monkeypatch.setattr(precision, "step_seconds", lambda device: {"float32": float32, "bfloat16": bfloat16})
    assert precision.fast_precision(CPU) == chosen


def test_a_slow_precision_that_is_named_is_warned_of(monkeypatch):
    monkeypatch.setattr(precision, "step_seconds", lambda device: {"float32": 0.017, "bfloat16": 0.160})
    with pytest.warns(
        SaqEvalWarning, match=r"takes 9\.4 times as long in bfloat16, .* as in float32 on this processor"
    ):
        precision.warn_if_slow("bfloat16", CPU)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        precision.warn_if_slow("float32", CPU)


def test_measuring_draws_nothing_and_takes_little_time():
    state = torch.random.get_rng_state()
    with torch.no_grad():
        seconds = precision.step_seconds.__wrapped__("cpu")
    assert seconds.keys() == {"float32", "bfloat16"} and all(0 < value < 10 for value in seconds.values())
    assert torch.equal(torch.random.get_rng_state(), state)
