"""Which claims are tested, and of which networks."""

import numpy as np
import pytest

from tests.analysis.made import SEEDS, answer, asked

LOWER = "lower precision lowers interpretability"


def test_what_further_training_does_is_no_matter_of_bits(make_grid):
    """Training on lowers the score, and lower precision does no more to it."""
    found = asked(make_grid, 0.0, further=-0.1)
    bits, further, both = (
        found.loc[f"{what} lowers interpretability"]
        for what in (
            "lower precision",
            "further training in full precision",
            "lower precision with its further training",
        )
    )
    assert (bits["step"], further["step"], both["step"]) == ("bits", "further training", "whole")
    assert further["verdict"] == both["verdict"] == "supported" and bits["verdict"] in ("not shown", "negligible")
    assert further["delta"] == pytest.approx(-1, abs=0.2) == both["delta"] and abs(bits["delta"]) < 0.2


def test_without_the_control_the_claim_says_that_further_training_is_part_of_it(make_grid):
    found = asked(make_grid, -0.1, schemes=("fp32", "w2a2"))
    assert LOWER not in found.index
    assert found.loc["lower precision with its further training lowers interpretability", "verdict"] == "supported"


def test_interpretability_is_not_spoken_of_where_no_metric_of_it_was_asked_for(make_grid):
    grid, cards = make_grid(["cnn-fp32", "cnn-w2a2"], lambda *_: 0.5, metrics=["SSIM"])
    found = answer(grid, cards)
    assert set(found["quantity"]) == {"accuracy"}


def test_the_claim_of_lower_accuracy_takes_both_trainings_together(make_grid, digits):
    names = [
        f"cnn-{scheme}{training}{seed}" for seed in SEEDS for training in ("", "-sgt") for scheme in ("fp32", "w2a2")
    ]
    wrong = {name: (60 if "sgt" in name else 40) + place % 3 for place, name in enumerate(names) if "w2a2" in name}
    grid, cards = make_grid(names, lambda *_: 0.0, wrong)
    found = answer(grid, cards)
    row = found.query("claim == 'lower precision with its further training lowers accuracy'").iloc[0]
    assert (row["networks"], row["seeds"]) == ("w2a2, standard and saliency-guided", 5)
    assert row["delta"] == pytest.approx(-np.mean(list(wrong.values())) / len(digits)) and row["verdict"] == "supported"
    assert row["words"].startswith("lower, by at least 1") and row["words"].endswith("points")
