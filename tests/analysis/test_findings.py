"""Findings of comparisons whose scores are made by hand, so that what is true of them is known."""

import re
import zlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from saq_eval.analysis import statistics
from saq_eval.analysis.groups import group_over_seeds
from saq_eval.analysis.headline import headline
from saq_eval.analysis.interpretability import Composite, leave_one_out
from saq_eval.analysis.results import Results
from saq_eval.analysis.tables import TABLES
from saq_eval.attribution import CONTROLS, find_explainers
from saq_eval.evaluation.cells import Cell, Explained, Scored
from saq_eval.evaluation.grid import Grid
from saq_eval.evaluation.settings import Settings, Subject
from saq_eval.metrics import find_scorers
from saq_eval.networks.network import Network
from saq_eval.zoo import ArchitectureCard
from saq_eval.zoo.finding import find_models
from saq_eval.zoo.networks import facts_of

N = 60
METRICS = ["FaithfulnessCorrelation", "PixelFlipping", "PointingGame"]  # of the second, lower is better
SEEDS = ("", "-s1", "-s2", "-s3", "-s4")


def noise(*purpose: object) -> np.ndarray:
    return 0.1 * np.random.default_rng(zlib.crc32(repr(purpose).encode())).standard_normal(N)


def facts(cards):
    return {name: facts_of(card, card.bit_widths) for name, card in cards.items()}


def answer(grid, cards):
    networks = {name: Network(known, None, name, "") for name, known in facts(cards).items()}
    return TABLES["findings"].make(Results(grid, networks, Composite.of(grid), margin=0.2))


@pytest.fixture
def make_grid(digits, tmp_path):
    """Build a filled grid from means of scores and accuracies.

    Args (of the function):
        names: models with parents among them, as in the zoo.
        mean: (role, "random" or the method's name, metric, model) -> the mean of the scores; the spread is 0.1.
        wrong: by model, how many test images it gets wrong.
    """

    def make(names, mean, wrong=None, metrics=METRICS, methods=("saliency",)):
        cards = {card.name: card for card, _ in find_models("digits", names)}
        baseline_of = {name: cards[name].parent or name for name in names}
        tuned = {name: re.sub("w2a2|w4a4", "fp32-ft", name) for name in names if name != baseline_of[name]}
        subjects = [
            Subject(name, name, baseline_of[name], fine_tuned=tuned[name] if tuned.get(name) in names else "")
            for name in names
        ]
        baselines = [subject for subject in subjects if subject.is_baseline]
        subjects += [Subject(f"{s.name} (random weights)", "", s.name, "control") for s in baselines]
        subjects += [
            Subject(other.name, other.name, s.name, "retrained")
            for s in baselines
            for other in baselines
            if other is not s and cards[other.name].training == cards[s.name].training
        ]
        settings = Settings(
            digits.subset(np.arange(N)), find_explainers(methods), find_scorers(metrics), 0, 64, "cpu", None, tmp_path
        )
        cells, explained, every = {}, {}, {}
        for subject in subjects:
            for explainer in settings.methods_of(subject.role):
                method = explainer.label
                scores = {
                    scorer.label: mean(subject.role, method, scorer.label, subject.name)
                    + noise(subject.name, method, scorer.label)
                    for scorer in settings.scorers
                    if not (method in CONTROLS and scorer.metric.category == "similarity")
                    and not (subject.role == "retrained" and scorer.metric.category != "similarity")
                }
                explained[subject, method] = Explained(np.zeros(N, dtype=bool), computed=True)
                for label, values in scores.items():
                    beside = {"chance": np.zeros(N), "to_fine_tuned": values + 0.2} if label == "SSIM" else {}
                    cells[Cell(subject, method, label)] = Scored(values, **beside)
        for name in names:
            predicted = digits.labels.numpy().copy()
            missed = (wrong or {}).get(name, 0)
            predicted[:missed] = (predicted[:missed] + 1) % 10
            every[name] = np.eye(10, dtype=np.float32)[predicted]
        right = {name: float((logits.argmax(1) == digits.labels.numpy()).mean()) for name, logits in every.items()}
        accuracies = {subject: right[subject.name] for subject in subjects if subject.role != "control"}
        grid = Grid(subjects, settings, cells, explained, every, {}, accuracies, {}, digits.labels.numpy())
        return grid, {name: cards[name] for name in names}

    return make


def test_a_pair_is_sound_where_it_tells_maps_from_noise_and_from_random_weights(make_grid):
    means = {
        # FaithfulnessCorrelation tells them apart; of PixelFlipping lower is better; PointingGame is blind to weights.
        ("FaithfulnessCorrelation", "model"): 0.5,
        ("FaithfulnessCorrelation", "control"): 0.2,
        ("FaithfulnessCorrelation", "random"): 0.0,
        ("PixelFlipping", "model"): 0.3,
        ("PixelFlipping", "control"): 0.6,
        ("PixelFlipping", "random"): 0.9,
        ("PointingGame", "model"): 0.8,
        ("PointingGame", "control"): 0.8,
        ("PointingGame", "random"): 0.1,
    }

    def sound(means, names=("cnn-fp32", "cnn-fp32-s1"), quantized=None):
        def mean(role, method, metric, name):
            if method == "edges":
                return 0.0
            level = means[metric, method if method == "random" else role]
            return level if quantized is None or role == "control" or "w2a2" not in name else quantized

        grid, _ = make_grid(list(names), mean)
        pairs = Composite.of(grid).pairs
        return [(method, scorer.label) for method, scorers in pairs.items() for scorer in scorers]

    assert sound(means) == [("saliency", "FaithfulnessCorrelation"), ("saliency", "PixelFlipping")]
    blind_to_noise = means | {("FaithfulnessCorrelation", "random"): 0.5, ("PixelFlipping", "random"): 0.3}
    assert sound(blind_to_noise) == []
    assert sound(means | {("PixelFlipping", "control"): 0.1}) == [("saliency", "FaithfulnessCorrelation")]


def test_pairs_are_chosen_on_baselines_and_others_alike(make_grid):
    """What a pair says of baselines by chance alone is half the choice, not all of it."""

    def mean(role, method, metric, name):
        if method in CONTROLS or role == "control":
            return 0.0
        return 0.1 if "fp32" in name else -0.2

    grid, _ = make_grid(["cnn-fp32", "cnn-w2a2"], mean, metrics=METRICS[:1])
    assert Composite.of(grid).pairs == {}
    alone, _ = make_grid(["cnn-fp32"], mean, metrics=METRICS[:1])
    assert list(Composite.of(alone).pairs) == ["saliency"]


def test_interpretability_is_in_standard_deviations_and_methods_count_alike(make_grid):
    grid, _ = make_grid(["cnn-fp32", "cnn-w2a2"], lambda role, method, metric, name: 0.0, methods=("saliency", "lrp"))
    ours, theirs = grid.by_name["cnn-w2a2"], grid.by_name["cnn-fp32"]
    up, down = find_scorers(METRICS[:2])
    scales = {(m, s.label): 0.1 for m in ("saliency", "lrp") for s in (up, down)}
    composite = Composite({"saliency": (up, down), "lrp": (up,)}, scales, 1.0)
    (a, b), (c, d) = (
        [{scorer.label: grid.scores(s, m, scorer.label) for scorer in (up, down)} for s in (ours, theirs)]
        for m in ("saliency", "lrp")
    )
    first = ((a[up.label] - b[up.label]) / 0.1 - (a[down.label] - b[down.label]) / 0.1) / 2
    second = (c[up.label] - d[up.label]) / 0.1
    by_method = composite.differences(grid, ours, theirs)
    np.testing.assert_allclose(by_method, [first, second])
    np.testing.assert_allclose(composite.mean(by_method), (first + second) / 2)
    assert leave_one_out(by_method) == pytest.approx(tuple(sorted([first.mean(), second.mean()])))
    assert np.isnan(Composite({}, {}, 0.0).differences(grid, ours, theirs)).all()
    assert np.isnan(leave_one_out(by_method[:1])).all()


def test_a_baseline_whose_scores_do_not_vary_is_scaled_by_the_others(make_grid):
    grid, _ = make_grid(
        ["cnn-fp32", "cnn-fp32-s1", "cnn-w2a2"],
        lambda role, method, *_: 0.5 * (role == "model" and method == "saliency"),
        metrics=METRICS[:1],
    )
    grid.scores(grid.by_name["cnn-fp32"], "saliency", "FaithfulnessCorrelation")[:] = 0.5
    composite = Composite.of(grid)
    other = statistics.spread(grid.scores(grid.by_name["cnn-fp32-s1"], "saliency", "FaithfulnessCorrelation"))
    assert composite.scales["saliency", "FaithfulnessCorrelation"] == pytest.approx(other / np.sqrt(2))
    assert list(composite.pairs) == ["saliency"]
    assert not np.isnan(composite.differences(grid, grid.by_name["cnn-w2a2"], grid.by_name["cnn-fp32"])).any()


def asked(make_grid, change, wrong=None, untrained=-0.5, seeds=SEEDS, schemes=("fp32", "fp32-ft", "w2a2"), further=0.0):
    """Answer for networks whose metrics differ by `further` after further training, and then by `change` at 2 bits."""
    names = [f"cnn-{scheme}{seed}" for seed in seeds for scheme in schemes]

    def mean(role, method, metric, name):
        if method in CONTROLS or role == "control":
            return untrained
        return change + further if "w2a2" in name else further if "ft" in name else 0.0

    grid, cards = make_grid(names, mean, wrong, metrics=METRICS[:1])
    return answer(grid, cards).set_index("claim")


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


def test_one_or_two_networks_do_not_speak_of_a_scheme(make_grid):
    for seeds in (SEEDS[:1], SEEDS[:2]):
        row = asked(make_grid, -0.1, seeds=seeds).loc[LOWER]
        assert (row["scope"], row["verdict"]) == ("network", "supported")
        assert ("this network alone" if len(seeds) == 1 else "these networks alone") in row["text"]


def test_where_no_score_tells_trained_from_untrained_nothing_is_claimed(make_grid):
    row = asked(make_grid, -0.1, untrained=0.0).loc[LOWER]
    assert row["verdict"] == "" and np.isnan(row["delta"])
    assert row["text"].startswith("w2a2, standard: nothing can be said: no score is shown to tell")


def test_of_a_few_images_nothing_is_claimed(make_grid, monkeypatch):
    monkeypatch.setattr("tests.analysis.test_findings.N", 28)
    found = asked(make_grid, -0.1)
    row = found.loc[LOWER]
    assert (row["verdict"], row["words"]) == ("too few images", "")
    assert row["text"] == "w2a2, standard: nothing can be said: fewer than 30 images have a score."
    assert "nothing can be said" not in found.loc["lower precision lowers accuracy", "text"]  # over the whole test set


def test_interpretability_is_not_spoken_of_where_no_metric_of_it_was_asked_for(make_grid):
    grid, cards = make_grid(["cnn-fp32", "cnn-w2a2"], lambda *_: 0.5, metrics=["SSIM"])
    found = answer(grid, cards)
    assert set(found["quantity"]) == {"accuracy"}


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


def test_the_same_accuracy_is_within_the_margin(make_grid):
    row = asked(make_grid, 0.0, {f"cnn-{s}{seed}": 2 for s in ("fp32", "fp32-ft", "w2a2") for seed in SEEDS})
    row = row.loc["lower precision lowers accuracy"]
    # 360 images without a difference leave room for 3 in 360, and the margin is one in 200.
    assert row["delta"] == 0 and row["verdict"] == "not shown"


def test_a_small_certain_loss_is_said_with_its_direction(make_grid, digits):
    wrong = {f"cnn-w2a2{seed}": 1 for seed in SEEDS}
    row = asked(make_grid, 0.0, wrong).loc["lower precision lowers accuracy"]
    assert row["delta"] == pytest.approx(-1 / len(digits)) and "within" not in row["verdict"]


def test_networks_are_grouped_over_seeds(make_grid):
    names = ["cnn-fp32", "cnn-w2a2", "cnn-fp32-s1", "cnn-w2a2-s1", "cnn-fp32-sgt", "cnn-w2a2-sgt"]
    grid, cards = make_grid(names, lambda *_: 0.0)
    groups = group_over_seeds(grid, facts(cards))
    assert [(g.scheme, g.training, [s.name for s in g.members.values()]) for g in groups] == [
        ("fp32", "standard", ["cnn-fp32", "cnn-fp32-s1"]),
        ("w2a2", "standard", ["cnn-w2a2", "cnn-w2a2-s1"]),
        ("fp32", "saliency-guided", ["cnn-fp32-sgt"]),
        ("w2a2", "saliency-guided", ["cnn-w2a2-sgt"]),
    ]


def test_networks_that_are_no_twins_are_told_apart(make_grid):
    """One scheme and training, but a recipe, arguments or an architecture of its own: names are unique by training."""
    names = ["cnn-fp32", "cnn-w2a2", "cnn-fp32-s1", "cnn-w2a2-s1", "cnn-w4a4"]
    grid, cards = make_grid(names, lambda *_: 0.0)
    card = cards["cnn-w2a2-s1"]
    calibrated = replace(card, seed=0, recipe=replace(card.recipe, epochs=card.recipe.epochs + 1))
    cards["cnn-w2a2-s1"] = calibrated
    groups = group_over_seeds(grid, facts(cards))
    assert [(g.name, len(g.members)) for g in groups] == [
        ("fp32", 2), ("w2a2 (cnn-w2a2)", 1), ("w2a2 (cnn-w2a2-s1)", 1), ("w4a4", 1),
    ]  # fmt: skip
    cards["cnn-w4a4"] = replace(cards["cnn-w4a4"], architecture=ArchitectureCard("lenet"))
    assert [g.name for g in group_over_seeds(grid, facts(cards))][-1] == "lenet w4a4"


def test_the_precision_of_training_makes_no_other_twin(make_grid):
    names = ["cnn-fp32", "cnn-w2a2", "cnn-fp32-s1", "cnn-w2a2-s1"]
    grid, cards = make_grid(names, lambda *_: 0.0)
    card = cards["cnn-w2a2-s1"]
    other = {"bfloat16": "float32", "float32": "bfloat16"}[card.recipe.precision]
    cards["cnn-w2a2-s1"] = replace(card, recipe=replace(card.recipe, precision=other))
    assert [len(g.members) for g in group_over_seeds(grid, facts(cards))] == [2, 2]


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
