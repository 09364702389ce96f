"""Verdicts at a glance, of a made-up comparison."""

import pytest

from saq_eval.analysis.verdicts import first_step, majority, verdict_table
from tests.reporting.fake_run import fake_run

FEW = {
    "methods": ("saliency", "lrp", "gradcam", "occlusion"),
    "metrics": ("PixelFlipping", "PointingGame", "Sparseness", "SSIM", "Spearman"),
    "samples": 30,
    "gallery": 2,
}
SCHEMES = ("fp32", "fp32-ft", "w8a8", "w4a4", "w2a2")


@pytest.fixture(scope="module")
def result():
    return fake_run(schemes=SCHEMES, **FEW)


@pytest.fixture(scope="module")
def over_seeds():
    return fake_run(schemes=SCHEMES, seeds=(0, 1, 2), **FEW)


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], ("", 0, 0)),
        (["", ""], ("", 0, 0)),
        (["worse"], ("worse", 1, 1)),
        (["worse", "worse", "better"], ("worse", 2, 3)),
        (["worse", "worse", "better", "undecided"], ("worse", 2, 4)),
        (["worse", "worse", "better", "better"], ("mixed", 2, 4)),
        (["worse", "better", "undecided"], ("mixed", 1, 3)),
        (["worse", "worse, but within the margin", "undecided"], ("mixed", 1, 3)),
        (["negligible", "", "negligible"], ("negligible", 2, 2)),
    ],
)
def test_majority(verdicts, expected):
    assert majority(verdicts) == expected


def test_rows_are_groups_of_networks_by_step(result, over_seeds):
    table = verdict_table(result[0])
    overall = table[table["method"] == ""]
    # Bits and both steps together of three schemes, further training of one, in two trainings; five metrics.
    assert len(overall) == (3 + 3 + 1) * 2 * 5 and (overall["methods"] == 4).all()
    assert len(table) == len(overall) + len(result[0]["effects"])
    assert not overall.duplicated(["step", "networks", "metric"]).any()
    same = verdict_table(over_seeds[0])
    assert list(same["networks"].unique()) == list(table["networks"].unique())
    assert set(table["scope"]) == {"network"} and set(same["scope"]) == {"scheme"}


def test_over_methods_a_row_is_the_mean_with_the_verdict_of_most(result):
    overall = verdict_table(result[0]).query("method == ''")
    of_cell = dict(list(result[0]["effects"].groupby(["networks", "training", "step", "metric"])))
    for cell in overall.itertuples():
        rows = of_cell[(*cell.networks.split(", "), cell.step, cell.metric)]
        assert cell.delta == pytest.approx(rows["delta"].mean())
        assert (cell.verdict, cell.agreeing, cell.methods) == majority(rows["verdict"])
        assert cell.beyond == (rows["retraining"] == "beyond").sum()
    assert {0, 4} < set(overall["beyond"])


def test_one_training_goes_without_saying(result):
    few = result[0] | {"effects": result[0]["effects"].query("training == 'standard'")}
    assert set(verdict_table(few)["networks"]) == {"fp32-ft", "w8a8", "w4a4", "w2a2"}


def test_each_groups_first_step_is_what_bits_do_where_that_is_known(result):
    table = verdict_table(result[0])
    first = first_step(table).groupby("networks")["step"].agg(set)
    assert {name: steps for name, steps in first.items() if "ft" not in name} == {
        name: {"bits"} for name in first.index if "ft" not in name
    }
    assert all(first[name] == {"further training"} for name in first.index if "ft" in name)
    whole = first_step(table[table["step"] != "bits"])
    assert set(whole["step"]) == {"whole", "further training"} and first_step(table.iloc[:0]).empty
