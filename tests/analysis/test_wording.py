"""What is said of a finding."""

from dataclasses import replace

import pytest

from saq_eval.analysis.wording import Found, beside, in_a_word, in_words, signed

LOWER = Found(delta=-0.021, low=-0.03, high=-0.0082, margin=0.005, verdict="supported", quantity="accuracy", lower=True)


def test_a_claim_that_holds_is_said_with_what_is_certain_of_it():
    assert in_words(LOWER) == "lower, by at least 0.82 points"
    higher = replace(LOWER, low=0.11, high=0.5, quantity="interpretability", lower=False)
    assert in_words(higher) == "higher, by at least 0.11 SD"
    assert in_words(replace(LOWER, quantity="similarity", high=-0.14)) == "less alike, by at least 14.0 %"


def test_a_claim_whose_opposite_holds_says_so():
    opposite = replace(LOWER, low=0.1, high=0.3, verdict="contradicted", quantity="interpretability")
    assert in_words(opposite) == "the opposite: higher, by at least 0.10 SD"
    assert in_words(replace(opposite, lower=False, low=-0.3, high=-0.1)) == "the opposite: lower, by at least 0.10 SD"


def test_within_the_margin_the_direction_is_said_where_it_is_certain():
    assert in_words(replace(LOWER, verdict="negligible")) == "within ±0.5 points"
    assert in_words(replace(LOWER, verdict="supported, but within the margin")) == "lower, but within ±0.5 points"
    contradicted = replace(LOWER, verdict="contradicted, but within the margin")
    assert in_words(contradicted) == "the opposite: higher, but within ±0.5 points"


def test_what_is_undecided_says_where_it_may_lie_and_what_would_decide():
    found = Found(0.1, -0.1, 0.3, 0.2, "not shown", "interpretability", lower=True)
    assert in_words(found) == "undecided: anywhere from −0.10 to +0.30 SD"
    assert in_words(replace(found, images_needed=260.0)).endswith(" SD; about 260 images would decide")
    both = replace(found, networks_needed=7.0, images_needed=260.0)
    assert in_words(both).endswith(" SD; about 7 seeds or 260 images would decide")


@pytest.mark.parametrize("verdict", ["", "too few images"])
def test_where_nothing_can_be_said_nothing_is(verdict):
    assert in_words(replace(LOWER, verdict=verdict)) == ""


@pytest.mark.parametrize(
    ("verdict", "delta", "quantity", "word"),
    [
        ("supported", -0.1, "accuracy", "lower"),
        ("contradicted", 0.1, "interpretability", "higher"),
        ("supported", -0.1, "similarity", "less alike"),
        ("supported, but within the margin", -0.1, "accuracy", "lower, within the margin"),
        ("negligible", -0.1, "accuracy", "same"),
        ("not shown", -0.1, "accuracy", "undecided"),
        ("too few images", -0.1, "accuracy", "–"),
        ("", -0.1, "accuracy", "–"),
    ],
)
def test_a_finding_in_a_word(verdict, delta, quantity, word):
    assert in_a_word(verdict, delta, quantity) == word


def test_numbers_have_a_sign_and_a_minus_that_is_one():
    assert [signed(number) for number in (0.5, -0.5)] == ["+0.50", "−0.50"]
    assert signed(-0.001) == "+0.00" and signed(1.26, 1) == "+1.3"
    assert beside("beyond") == "beyond what retraining does"
