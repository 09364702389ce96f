"""Comparisons whose scores are made by hand, so that what is true of them is known."""

import re
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np

from saq_eval.analysis.interpretability import Composite
from saq_eval.analysis.results import Results
from saq_eval.analysis.tables import TABLES
from saq_eval.attribution import CONTROLS, find_explainers
from saq_eval.evaluation.cells import Cell, Explained, Scored
from saq_eval.evaluation.grid import Grid
from saq_eval.evaluation.settings import Settings, Subject
from saq_eval.metrics import find_scorers
from saq_eval.networks.network import LayerCost
from saq_eval.zoo.finding import find_models
from saq_eval.zoo.networks import described

N = 60
METRICS = ["FaithfulnessCorrelation", "PixelFlipping", "PointingGame"]  # of the second, lower is better
SEEDS = ("", "-s1", "-s2", "-s3", "-s4")
LAYERS = (
    LayerCost("conv", (8, 1, 3, 3), 8, 8, alpha=None, weight_bytes=72, macs=50_000),
    LayerCost("head", (10, 32), 2, 4, alpha=1.5, weight_bytes=80, macs=320),
)


def noise(*purpose: object, images: int = N) -> np.ndarray:
    return 0.1 * np.random.default_rng(zlib.crc32(repr(purpose).encode())).standard_normal(images)


@cache
def _zoo():
    return find_models("digits", ["*"])


def described_networks(cards):
    """Return networks with made-up layers and sizes, of which none computes."""
    sizes = {"layers": LAYERS, "parameters": 1000, "ideal_bytes": 512, "file_bytes": 1024}
    return {name: replace(described(card, card.bit_widths), identity=name, **sizes) for name, card in cards.items()}


def results_of(grid, cards):
    """Return a grid's results; see `described_networks`."""
    networks = described_networks(cards)
    networks |= {
        s.name: replace(networks[s.baseline], name=s.name, training="none")
        for s in grid.subjects
        if s.role == "control"
    }
    return Results(grid, networks, Composite.of(grid), margin=0.2)


def answer(grid, cards):
    return TABLES["findings"].make(results_of(grid, cards))


def _subjects(names, cards):
    baseline_of = {name: cards[name].parent or name for name in names}
    tuned = {name: re.sub("w2a2|w4a4", "fp32-ft", name) for name in names if name != baseline_of[name]}
    subjects = [
        Subject(name, name, baseline_of[name], fine_tuned=tuned[name] if tuned.get(name) in names else "")
        for name in names
    ]
    baselines = [subject for subject in subjects if subject.is_baseline]
    subjects += [Subject(f"{s.name} (random weights)", "", s.name, "control") for s in baselines]
    return subjects + [
        Subject(other.name, other.name, s.name, "retrained")
        for s in baselines
        for other in baselines
        if other is not s and cards[other.name].training == cards[s.name].training
    ]


def _cell(scorer, values: np.ndarray, *, baseline: bool) -> Scored:
    if scorer.metric.category != "similarity":
        # A curve falls from the score to 0 in two steps.
        falls = scorer.metric.name == "PixelFlipping"
        curve = np.stack([values, values / 2, values * 0], axis=1) if falls else None
        return Scored(values, curve=curve)
    nothing = np.zeros(len(values))
    controls = {control: nothing + 0.1 for control in CONTROLS} if baseline else {}
    return Scored(values, chance=nothing, to_fine_tuned=values + 0.2, controls=controls)


def make_grid(
    digits,
    folder,
    names: list[str],
    mean: Callable[[str, str, str, str], float],
    wrong: dict[str, int] | None = None,
    metrics=METRICS,
    methods=("saliency",),
    images: int = N,
):
    """Build a grid from means of scores and from accuracies.

    Args:
        digits: the test set, of which the first images are scored.
        names: models with parents among them, as in the zoo.
        mean: (role, "random" or the method's name, metric, model) -> the mean of the scores; the spread is 0.1.
        wrong: by model, how many test images it gets wrong, from the first on.

    Returns:
        The grid, and the models' cards by name.
    """
    cards = {card.name: card for card, _ in _zoo() if card.name in names}
    subjects = _subjects(names, cards)
    settings = Settings(
        digits.subset(np.arange(images)), find_explainers(methods), find_scorers(metrics), 0, 64, "cpu", None, folder
    )
    cells, explained, logits = {}, {}, {}
    for subject in subjects:
        for explainer in settings.methods_of(subject.role):
            method = explainer.label
            explained[subject, method] = Explained(np.zeros(images, dtype=bool), computed=True)
            for scorer in settings.scorers:
                similar, label = scorer.metric.category == "similarity", scorer.label
                if similar if method in CONTROLS else subject.role == "retrained" and not similar:
                    continue
                level = mean(subject.role, method, label, subject.name)
                values = level + noise(subject.name, method, label, images=images)
                cells[Cell(subject, method, label)] = _cell(scorer, values, baseline=subject.is_baseline)
    labels = digits.labels.numpy()
    for subject in subjects:
        predicted = labels.copy()
        missed = (wrong or {}).get(subject.name, 0)
        predicted[:missed] = (predicted[:missed] + 1) % 10
        if subject.role != "retrained":
            logits[subject.name] = np.eye(10, dtype=np.float32)[predicted]
    right = {name: float((each.argmax(1) == labels).mean()) for name, each in logits.items()}
    accuracies = {subject: right[subject.name] for subject in subjects if subject.role != "control"}
    targets = dict.fromkeys(subjects, labels[:images])
    gaps = {subject.name: 0.25 for subject in subjects if subject.role == "model"}
    sample = {name: each[:images].argmax(axis=1) for name, each in logits.items()}
    grid = Grid(subjects, settings, cells, explained, logits, sample, targets, accuracies, gaps, labels, no_maps)
    return grid, {name: cards[name] for name in names}


def no_maps(subject, method):
    raise AssertionError(f"the maps of {subject.name} by {method} were read")


def asked(
    make_grid, change, wrong=None, untrained=-0.5, seeds=SEEDS, schemes=("fp32", "fp32-ft", "w2a2"), further=0.0, **more
):
    """Answer for networks whose metrics differ by `further` after further training, and then by `change` at 2 bits."""
    names = [f"cnn-{scheme}{seed}" for seed in seeds for scheme in schemes]

    def mean(role, method, metric, name):
        if method in CONTROLS or role == "control":
            return untrained
        return change + further if "w2a2" in name else further if "ft" in name else 0.0

    grid, cards = make_grid(names, mean, wrong, metrics=METRICS[:1], **more)
    return answer(grid, cards).set_index("claim")
