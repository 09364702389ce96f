"""The sentences that a report begins with."""

import pandas as pd

from saq_eval.analysis.headline import headline
from saq_eval.analysis.tables import TABLES
from saq_eval.attribution import CONTROLS
from tests.analysis.made import METRICS, SEEDS, answer


def headline_of(make_grid, seeds, **arguments):
    names = [
        f"cnn-{scheme}{seed}" for seed in seeds for scheme in arguments.pop("schemes", ("fp32", "fp32-ft", "w2a2"))
    ]

    def mean(role, method, metric, name):
        return -0.5 if method in CONTROLS or role == "control" else -0.1 * ("w2a2" in name)

    grid, cards = make_grid(names, mean, metrics=METRICS[:1])
    found = answer(grid, cards)
    rows = [
        (name, name.split("-")[1] if "ft" not in name else "fp32-ft", grid.by_name[name].baseline, 0.0, "standard")
        for name in names
    ]
    table = pd.DataFrame(rows, columns=["model", "networks", "baseline", "accuracy_delta", "training"])
    return headline({"models": table, "findings": found})


def test_the_headline_speaks_of_the_step_of_bits_and_says_its_scope(make_grid):
    said = headline_of(make_grid, SEEDS)
    assert said[0].startswith("What lower precision does to accuracy: w2a2, standard: ")
    assert said[1].startswith("To interpretability: w2a2, standard: lower, by at least 0.")
    assert said[-1] == "This speaks of networks that are trained so, from 5 seeds."
    assert not any("of the" in line and "comparisons" in line for line in said)


def test_the_headline_of_one_network_says_what_retraining_does(make_grid):
    names = headline_of(make_grid, SEEDS[:1])
    assert names[-1] == "This speaks of these networks alone: it takes 3 seeds to speak of a bit width."
    without = headline_of(make_grid, SEEDS[:1], schemes=("fp32", "w2a2"))
    assert "(further training included" in without[1]


def test_the_headline_of_baselines_alone_says_that_there_is_nothing_to_compare():
    models = pd.DataFrame([("a", "fp32", "a", 0.0, "standard")])
    models.columns = ["model", "networks", "baseline", "accuracy_delta", "training"]
    said = headline({"models": models, "findings": TABLES["findings"].frame([])})
    assert said[0] == "1 network, a baseline, and no other to compare with."


def test_the_headline_without_a_claim_keeps_names_as_they_are():
    rows = [("cnn-fp32", "fp32", 0.0, "cnn-fp32"), ("p", "p-w3a3 (calibrated)", -0.01, "cnn-fp32")]
    models = pd.DataFrame(rows, columns=["model", "networks", "accuracy_delta", "baseline"]).assign(training="standard")
    said = headline({"models": models, "findings": TABLES["findings"].frame([])})
    assert said[0].endswith("in points: p-w3a3 (calibrated), standard, −1.00.")


def test_the_headline_says_where_some_networks_speak_of_a_scheme_and_others_of_themselves():
    models = pd.DataFrame([("a", "b")], columns=["model", "baseline"])
    row = {"claim": "lower precision lowers accuracy", "step": "bits", "quantity": "accuracy", "training": "standard"}
    said = {
        "words": "the opposite: higher, by at least 0.10 points; about 7 seeds would decide",
        "retraining": "within",
    }
    found = pd.DataFrame(
        [
            row | said | {"group": group, "networks": f"{group}, standard", "scope": scope, "seeds": seeds}
            for group, scope, seeds in (("w4a4", "scheme", 3), ("w2a2", "network", 1))
        ]
    )
    first, last = headline({"models": models, "findings": found})
    assert first == (
        "What lower precision does to accuracy: w4a4, standard: higher, by at least 0.10 points; "
        "w2a2, standard: higher, by at least 0.10 points (within what retraining does)."
    )
    assert last == "Where there are 3 seeds, this speaks of networks trained so, else of these alone."
