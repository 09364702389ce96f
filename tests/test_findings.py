"""Findings of comparisons whose scores are made by hand, so that what is true of them is known."""

import zlib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from saq_eval import findings
from saq_eval.attribution import CONTROLS, find_explainers
from saq_eval.grid import Cell, Grid, Settings, Subject
from saq_eval.metrics import find_scorers
from saq_eval.zoo import ArchitectureCard
from saq_eval.zoo.finding import find_models

N = 60
METRICS = ["FaithfulnessCorrelation", "PixelFlipping", "PointingGame"]  # of the second, lower is better
SEEDS = ("", "-s1", "-s2")


def noise(*purpose: object) -> np.ndarray:
    return 0.1 * np.random.default_rng(zlib.crc32(repr(purpose).encode())).standard_normal(N)


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
        models = {name: SimpleNamespace(card=cards[name]) for name in names}
        baseline_of = {name: cards[name].parent or name for name in names}
        subjects = [Subject(name, None, name, baseline_of[name]) for name in names]
        baselines = [subject for subject in subjects if subject.is_baseline]
        subjects += [Subject(f"{s.name} (random weights)", None, "", s.name, "control") for s in baselines]
        settings = Settings(
            digits.subset(np.arange(N)), find_explainers(methods), find_scorers(metrics), 0, 64, "cpu", None, tmp_path
        )
        grid = Grid(subjects, settings, digits, "label")
        for subject in subjects:
            for explainer in settings.methods_of(subject.role):
                method = explainer.label
                scores = {
                    scorer.label: mean(subject.role, method, scorer.label, subject.name)
                    + noise(subject.name, method, scorer.label)
                    for scorer in settings.scorers
                    if not (method in CONTROLS and scorer.metric.category == "similarity")
                }
                grid.cells[subject, method] = Cell(scores, {}, {}, {}, {}, np.zeros(N, dtype=bool), True, {})
        for name in names:
            predicted = digits.labels.numpy().copy()
            missed = (wrong or {}).get(name, 0)
            predicted[:missed] = (predicted[:missed] + 1) % 10
            grid.logits[name] = np.eye(10, dtype=np.float32)[predicted]
        return grid, models

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
    names = ["cnn-fp32", "cnn-fp32-s1"]

    def sound(means):
        grid, _ = make_grid(names, lambda role, method, metric, _: means[metric, method if method == "random" else role]
                            if method != "edges" else 0.0)  # fmt: skip
        return [(method, scorer.label) for method, scorer in findings.sound_pairs(grid, 0)]

    assert sound(means) == [("saliency", "FaithfulnessCorrelation"), ("saliency", "PixelFlipping")]
    blind_to_noise = means | {("FaithfulnessCorrelation", "random"): 0.5, ("PixelFlipping", "random"): 0.3}
    assert sound(blind_to_noise) == []
    assert sound(means | {("PixelFlipping", "control"): 0.1}) == [("saliency", "FaithfulnessCorrelation")]


def test_interpretability_is_in_standard_deviations_and_up_is_better(make_grid):
    grid, _ = make_grid(["cnn-fp32", "cnn-w2a2"], lambda role, method, metric, name: 0.0)
    ours, theirs = grid.by_name["cnn-w2a2"], grid.by_name["cnn-fp32"]
    pairs = [("saliency", scorer) for scorer in find_scorers(METRICS[:2])]
    a, b = (grid.cells[s, "saliency"].scores for s in (ours, theirs))
    up, down = METRICS[:2]
    by_hand = ((a[up] - b[up]) / b[up].std(ddof=1) - (a[down] - b[down]) / b[down].std(ddof=1)) / 2
    np.testing.assert_allclose(findings.interpretability_differences(grid, ours, theirs, pairs), by_hand)
    assert np.isnan(findings.interpretability_differences(grid, ours, theirs, [])).all()


def asked(make_grid, change, wrong=None, untrained=-0.5):
    """Answer for w2a2 networks whose metrics differ from full precision by `change`."""
    names = [f"cnn-{scheme}{seed}" for seed in SEEDS for scheme in ("fp32", "w2a2")]

    def mean(role, method, metric, name):
        if method in CONTROLS or role == "control":
            return untrained
        return change if "w2a2" in name else 0.0

    grid, models = make_grid(names, mean, wrong, metrics=METRICS[:1])
    found = findings.answer(grid, models, findings.sound_pairs(grid, 0), 0, margin=0.2)
    return found.set_index("claim")


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        (-0.1, "supported", "the data support it: −"),
        (+0.1, "contradicted", "the data say the opposite: +"),
        (0.0, "unsupported", "the data do not support it: "),  # three seeds and 60 images do not show that it is 0
    ],
)
def test_the_claim_of_lower_interpretability_is_two_sided(change, verdict, words, make_grid):
    row = asked(make_grid, change).loc["lower precision lowers interpretability"]
    assert (row["verdict"], row["seeds"], row["networks"]) == (verdict, 3, "w2a2, standard")
    assert row["delta"] == pytest.approx(10 * change, abs=0.3)  # the spread is 0.1
    assert row["ci_low"] < row["delta"] < row["ci_high"] and words in row["text"] and "over 3 seeds" in row["text"]


def test_where_no_score_tells_trained_from_untrained_nothing_is_claimed(make_grid):
    row = asked(make_grid, -0.1, untrained=0.0).loc["lower precision lowers interpretability"]
    assert row["verdict"] == "unsupported" and np.isnan(row["delta"])
    assert row["text"].startswith("w2a2, standard: nothing can be said: no score is shown to tell")


def test_of_a_few_images_nothing_is_claimed(make_grid, monkeypatch):
    monkeypatch.setattr("tests.test_findings.N", 8)
    found = asked(make_grid, -0.1)
    row = found.loc["lower precision lowers interpretability"]
    assert (row["verdict"], row["text"]) == (
        "unsupported",
        "w2a2, standard: nothing can be said: too few images have a score.",
    )
    assert "nothing can be said" not in found.loc["lower precision lowers accuracy", "text"]  # over the whole test set


def test_interpretability_is_not_spoken_of_where_no_metric_of_it_was_asked_for(make_grid):
    names = ["cnn-fp32", "cnn-w2a2"]
    grid, models = make_grid(names, lambda *_: 0.5, metrics=["SSIM"])
    found = findings.answer(grid, models, findings.sound_pairs(grid, 0), 0, margin=0.2)
    assert list(found["claim"]) == ["lower precision lowers accuracy"]


def test_the_claim_of_lower_accuracy(make_grid, digits):
    claim = "lower precision lowers accuracy"
    same = asked(make_grid, 0.0).loc[claim]
    assert (same["verdict"], same["delta"]) == ("equivalent", 0.0)
    wrong = {f"cnn-w2a2{seed}": 60 + place for place, seed in enumerate(SEEDS)}
    lower = asked(make_grid, 0.0, wrong).loc[claim]
    assert lower["verdict"] == "supported" and lower["delta"] == pytest.approx(-61 / len(digits))
    assert f"{-100 * 61 / len(digits):.2f} points of accuracy".replace("-", "−") in lower["text"]


def test_networks_are_grouped_over_seeds(make_grid):
    names = ["cnn-fp32", "cnn-w2a2", "cnn-fp32-s1", "cnn-w2a2-s1", "cnn-fp32-sgt", "cnn-w2a2-sgt"]
    grid, models = make_grid(names, lambda *_: 0.0)
    groups = findings.group_over_seeds(grid, models)
    assert [(g.scheme, g.training, [s.name for s in g.members.values()]) for g in groups] == [
        ("fp32", "standard", ["cnn-fp32", "cnn-fp32-s1"]),
        ("w2a2", "standard", ["cnn-w2a2", "cnn-w2a2-s1"]),
        ("fp32", "saliency-guided", ["cnn-fp32-sgt"]),
        ("w2a2", "saliency-guided", ["cnn-w2a2-sgt"]),
    ]


def test_networks_that_are_no_twins_are_told_apart(make_grid):
    """One scheme and training, but a recipe, arguments or an architecture of its own: names are unique by training."""
    names = ["cnn-fp32", "cnn-w2a2", "cnn-fp32-s1", "cnn-w2a2-s1", "cnn-w4a4"]
    grid, models = make_grid(names, lambda *_: 0.0)
    card = models["cnn-w2a2-s1"].card
    calibrated = replace(card, seed=0, recipe=replace(card.recipe, epochs=card.recipe.epochs + 1))
    models["cnn-w2a2-s1"] = SimpleNamespace(card=calibrated)
    groups = findings.group_over_seeds(grid, models)
    assert [(g.name, len(g.members)) for g in groups] == [
        ("fp32", 2), ("w2a2 (cnn-w2a2)", 1), ("w2a2 (cnn-w2a2-s1)", 1), ("w4a4", 1),
    ]  # fmt: skip
    models["cnn-w4a4"] = SimpleNamespace(card=replace(models["cnn-w4a4"].card, architecture=ArchitectureCard("lenet")))
    assert [g.name for g in findings.group_over_seeds(grid, models)][-1] == "lenet w4a4"


def test_the_precision_of_training_makes_no_other_twin(make_grid):
    names = ["cnn-fp32", "cnn-w2a2", "cnn-fp32-s1", "cnn-w2a2-s1"]
    grid, models = make_grid(names, lambda *_: 0.0)
    card = models["cnn-w2a2-s1"].card
    other = {"bfloat16": "float32", "float32": "bfloat16"}[card.recipe.precision]
    models["cnn-w2a2-s1"] = SimpleNamespace(card=replace(card, recipe=replace(card.recipe, precision=other)))
    assert [len(g.members) for g in findings.group_over_seeds(grid, models)] == [2, 2]


def test_the_headline_speaks_of_each_group_and_keeps_names_as_they_are():
    rows = [
        ("cnn-fp32", "fp32", 0.0, "cnn-fp32"),
        ("p-w3a3", "p-w3a3 (calibrated)", -0.01, "cnn-fp32"),
        ("p-w3a3-t", "p-w3a3 (p-w3a3-t)", 0.02, "cnn-fp32"),
    ]
    models = pd.DataFrame(rows, columns=["model", "networks", "accuracy_delta", "baseline"])
    models = models.assign(training="standard", weight_bits="32", scheme="p-w3a3")
    summary = pd.DataFrame(columns=["role", "model", "baseline", "category", "verdict", "floor"])
    said = findings.headline({"models": models, "summary": summary})[0]
    assert said.endswith("in points: p-w3a3 (calibrated) −1.00, p-w3a3 (p-w3a3-t) +2.00.")


def test_the_headline_says_why_few_images_give_no_verdict():
    models = pd.DataFrame([("a", "fp32", 0.0, "a"), ("b", "w4a4", 0.0, "a")])
    models.columns = ["model", "networks", "accuracy_delta", "baseline"]
    models = models.assign(training="standard", weight_bits="32")
    summary = pd.DataFrame(
        {"role": "model", "model": "b", "baseline": "a", "category": "faithfulness", "floor": np.nan,
         "verdict": ["too few images", "worse"]}
    )  # fmt: skip
    said = findings.headline({"models": models, "summary": summary})[1]
    assert said.endswith(
        "1 are worse, 0 better, 0 equivalent, and 0 show nothing; 1 have too few images for a verdict, below 10."
    )


def test_what_is_unsupported_says_its_corrected_p(make_grid):
    row = asked(make_grid, 0.0).loc["lower precision lowers interpretability"]
    assert row["text"].endswith(f", over 3 seeds, p = {row['p_adjusted']:.2g} after correction.")
