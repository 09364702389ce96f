"""The made-up run is like a real one, so that what holds of its report holds of real ones."""

from typing import get_args

import pytest
from pandas.api.types import is_numeric_dtype

from saq_eval.analysis.claims import ClaimVerdict
from saq_eval.analysis.statistics import Verdict
from saq_eval.analysis.tables import TABLES, checked
from tests.reporting.fake_run import FINE_TUNED, SCHEMES, TAKEN, fake_run


@pytest.fixture(scope="module")
def whole():
    return fake_run()


def test_its_tables_have_the_columns_of_real_ones(real, whole):
    assert set(whole[0]) == set(real.tables)
    for name, table in real.tables.items():
        if table.empty:  # then no column is of numbers
            assert name == "holes"
            continue
        made_up = whole[0][name]
        assert list(made_up.columns) == list(table.columns), name
        kinds = [[is_numeric_dtype(frame[column]) for column in frame] for frame in (made_up, table)]
        assert kinds[0] == kinds[1], name


def test_its_record_says_what_a_real_one_says(real, whole):
    _, run, _ = whole
    assert set(run) == set(real.run)
    for name in ("statistics", "masks", "maps"):
        assert set(run[name]) == set(real.run[name])
    for name in ("methods", "metrics", "models"):
        (made_up, *_), (described, *_) = run[name].values(), real.run[name].values()
        assert set(made_up) == set(described), name


@pytest.mark.parametrize("options", [{}, {"seeds": (0, 1, 2), "methods": ("lrp",), "samples": 30}])
def test_no_row_is_there_twice(options):
    tables, _, _ = fake_run(**options)
    assert set(tables) == set(TABLES)
    for name, table in tables.items():
        checked(TABLES[name], table)


def test_all_verdicts_occur(whole):
    tables, _, _ = whole
    assert set(tables["effects"]["verdict"]) == set(get_args(Verdict)) - {"", "too few images"}
    assert set(tables["findings"]["verdict"]) == set(get_args(ClaimVerdict))
    assert set(fake_run(samples=8, methods=("lrp",))[0]["effects"]["verdict"]) == {"too few images"}


def test_a_verdict_is_that_of_its_interval_and_margin(whole):
    for table in (whole[0]["effects"], whole[0]["summary"].query("model != baseline")):
        certain = (table["delta_ci_low"] > 0) | (table["delta_ci_high"] < 0)
        assert (certain | ~table["verdict"].str.startswith(("worse", "better"))).all()
        similar = table["category"] == "similarity"
        same = (table["delta_ci_low"] > -table["margin"]) & (table["delta_ci_high"] < table["margin"])
        assert (table["verdict"].str.contains("negligible|within") | ~same | similar).all()


def test_steps_are_those_that_the_schemes_allow(whole):
    steps = whole[0]["effects"].groupby("scheme")["step"].agg(set)
    assert set(steps.index) == set(SCHEMES) - {"fp32"} and steps[FINE_TUNED] == {"further training"}
    assert all(steps[scheme] == set(TAKEN) - {"further training"} for scheme in steps.index if scheme != FINE_TUNED)
    without, _, _ = fake_run(schemes=("fp32", "w4a4"), methods=("lrp",), metrics=("SSIM",))
    assert set(without["effects"]["step"]) == {"whole"} and not without["models"]["fine_tuned"].any()


def test_three_seeds_speak_of_the_scheme(over_seeds, result):
    assert set(over_seeds[0]["effects"]["scope"]) == {"scheme"} and set(result[0]["effects"]["scope"]) == {"network"}
    assert set(over_seeds[0]["summary"]["scope"]) == {"network"}
