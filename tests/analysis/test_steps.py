"""The steps that findings, tables and charts tell apart."""

import typing

from saq_eval.analysis.steps import STEPS, StepName


def test_each_step_says_what_it_compares_with():
    assert set(STEPS) == set(typing.get_args(StepName)) and all(STEPS.values())
    assert len(set(STEPS.values())) == len(STEPS)


def test_what_bits_do_comes_first():
    """Tables, the headline and the matrix show a group's first step."""
    assert next(iter(STEPS)) == "bits" and list(STEPS)[-2:] == ["whole", "change"]
