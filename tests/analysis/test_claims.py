"""What made-up comparisons say of the claims, in numbers and words."""

import numpy as np
import pytest

from tests.analysis.made import SEEDS, answer, asked

LOWER = "lower precision lowers interpretability"


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        (-0.1, "supported", "lower, by at least 0."),
        (+0.1, "contradicted", "the opposite: higher, by at least 0."),
        (-0.015, "not shown", "undecided: anywhere from −"),
    ],
)
def test_a_claim_and_its_opposite_are_tested(change, verdict, words, make_grid):
    row = asked(make_grid, change).loc[LOWER]
    assert (row["verdict"], row["seeds"], row["networks"]) == (verdict, 5, "w2a2, standard")
    assert (row["step"], row["scope"]) == ("bits", "scheme")
    assert row["delta"] == pytest.approx(10 * change, abs=0.3)  # the spread is 0.1
    assert row["ci_low"] < row["delta"] < row["ci_high"] and row["words"].startswith(words)
    assert row["text"].startswith(f"w2a2, standard: {row['words']}; 5 seeds") and row["text"].endswith(
        "what retraining does."
    )
    tested = {"supported": "p_adjusted", "contradicted": "p_opposite"}.get(verdict)
    for p_value in ("p_adjusted", "p_opposite"):
        assert (row[p_value] < 0.05) == (p_value == tested)
    assert (row["ci_high"] < 0) == (verdict == "supported") and (row["ci_low"] > 0) == (verdict == "contradicted")


def test_one_or_two_networks_do_not_speak_of_a_scheme(make_grid):
    for seeds in (SEEDS[:1], SEEDS[:2]):
        row = asked(make_grid, -0.1, seeds=seeds).loc[LOWER]
        assert (row["scope"], row["verdict"]) == ("network", "supported")
        assert ("this network alone" if len(seeds) == 1 else "these networks alone") in row["text"]


def test_where_no_score_tells_trained_from_untrained_nothing_is_claimed(make_grid):
    row = asked(make_grid, -0.1, untrained=0.0).loc[LOWER]
    assert row["verdict"] == "" and np.isnan(row["delta"])
    assert row["text"].startswith("w2a2, standard: nothing can be said: no score is shown to tell")


def test_of_a_few_images_nothing_is_claimed(make_grid):
    found = asked(make_grid, -0.1, images=28)
    row = found.loc[LOWER]
    assert (row["verdict"], row["words"]) == ("too few images", "")
    assert row["text"] == "w2a2, standard: nothing can be said: fewer than 30 images have a score."
    assert "nothing can be said" not in found.loc["lower precision lowers accuracy", "text"]  # over the whole test set


def test_similarity_is_tested_over_networks_in_each_step(make_grid):
    """Maps of 2 bits are as alike to their parents' as SSIM 0.3, retrained ones as 0.5, and 0.2 nearer to those trained on."""
    names = [f"cnn-{scheme}{seed}" for seed in SEEDS for scheme in ("fp32", "fp32-ft", "w2a2")]

    def mean(role, method, metric, name):
        return 0.5 if role == "retrained" else 0.3

    grid, cards = make_grid(names, mean, metrics=["SSIM"])
    found = answer(grid, cards).set_index("claim")
    whole = found.loc["lower precision with its further training changes maps more than retraining does"]
    bits = found.loc["lower precision changes maps more than retraining does"]
    assert whole["verdict"] == "supported" and whole["words"].startswith("less alike, by at least 1")
    assert whole["delta"] == pytest.approx(-0.2, abs=0.05) and whole["scope"] == "scheme"
    assert bits["delta"] == pytest.approx(0.0, abs=0.05) and bits["verdict"] in ("not shown", "negligible")


def test_similarity_of_one_network_takes_three_retrained_ones(make_grid):
    for others, verdict in ((2, ""), (4, "supported")):
        names = ["cnn-w2a2", *(f"cnn-fp32{seed}" for seed in SEEDS[: others + 1])]
        grid, cards = make_grid(names, lambda role, *_: 0.5 if role == "retrained" else 0.1, metrics=["SSIM"])
        found = answer(grid, cards)
        row = found[found["quantity"] == "similarity"].iloc[0]
        assert (row["verdict"], row["scope"]) == (verdict, "network")
        assert verdict or row["text"].endswith("nothing can be said: it takes 3 retrained networks at least.")


def test_the_same_accuracy_is_within_the_margin(make_grid):
    row = asked(make_grid, 0.0, {f"cnn-{s}{seed}": 2 for s in ("fp32", "fp32-ft", "w2a2") for seed in SEEDS})
    row = row.loc["lower precision lowers accuracy"]
    # 360 images without a difference leave room for 3 in 360, and the margin is one in 200.
    assert row["delta"] == 0 and row["verdict"] == "not shown"


def test_a_small_certain_loss_is_said_with_its_direction(make_grid, digits):
    wrong = {f"cnn-w2a2{seed}": 1 for seed in SEEDS}
    row = asked(make_grid, 0.0, wrong).loc["lower precision lowers accuracy"]
    assert row["delta"] == pytest.approx(-1 / len(digits)) and "within" not in row["verdict"]
