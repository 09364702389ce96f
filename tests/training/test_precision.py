import warnings

import pytest
import torch

from saq_eval import Recipe, SaqEvalError
from saq_eval.core.errors import SaqEvalWarning
from saq_eval.training import precision
from saq_eval.training.checkpoints import Checkpoint, kept_precision

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


def test_a_recipe_agrees_with_what_it_left_open():
    left_open = Recipe(2, 32, 0.1, 0.0)
    for used in ("float32", "bfloat16"):
        named = Recipe(2, 32, 0.1, 0.0, precision=used)
        assert left_open.agrees_with(named) and named.agrees_with(named)
        assert not named.agrees_with(Recipe(2, 32, 0.1, 0.0, precision={"float32": "bfloat16"}.get(used, "float32")))
    assert not left_open.agrees_with(Recipe(3, 32, 0.1, 0.0, precision="float32"))


def test_an_unfinished_run_keeps_its_precision(tmp_path):
    file = tmp_path / "progress.pt"
    assert kept_precision(file) is None
    Checkpoint(file, "this", "bfloat16").save({}, [])
    assert kept_precision(file) == "bfloat16"
    torch.save({"identity": "this"}, file)
    with pytest.raises(SaqEvalError, match="lacks history, precision, states; remove the file"):
        kept_precision(file)
