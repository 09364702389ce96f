"""What a comparison found, in plain sentences: claims, and what the data say of them.

Claims are tested from both sides, and one that the data do not support is said to be unsupported: the literature
reports quantized networks that look at the right place less, and such that do more.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from saq_eval import statistics
from saq_eval.grid import Grid, Subject
from saq_eval.metrics import Scorer
from saq_eval.zoo import Model
from saq_eval.zoo.cards import Card, twin

ClaimVerdict = Literal["supported", "contradicted", "equivalent", "unsupported"]
INTERPRETABILITY = ("faithfulness", "localisation")
SAME_ACCURACY = 0.005  # two seeds of one quantized network differ by up to half a point in the literature
COLUMNS = (
    "dataset",
    "claim",
    "networks",
    "seeds",
    "unit",
    "delta",
    "ci_low",
    "ci_high",
    "p_adjusted",
    "verdict",
    "text",
)


_TOO_FEW = "too few images have a score"
_NO_PAIR = "no score is shown to tell trained networks' maps from untrained ones'"


@dataclass(frozen=True)
class _Question:
    """One claim about some networks, as differences whose mean the claim says to be below (or above) 0."""

    claim: str
    networks: str
    unit: str
    differences: np.ndarray  # float (seeds, images)
    margin: float
    lower: bool  # whether the claim says that the difference is below 0
    seeds: int
    unknown: str = _TOO_FEW  # why nothing can be said, where that is so


Pairs = Sequence[tuple[str, Scorer]]  # of a method's label and a metric


def sound_pairs(grid: Grid, seed: int) -> Pairs:
    """Return the methods and faithfulness or localisation metrics that together tell whether a network has learnt.

    Such a pair is shown to score the baselines' maps better than noise, and better than the maps of the same networks
    with random weights (Adebayo et al. 2018, arXiv 1810.03292): over ten images at least, the mean over the baselines of
    either advantage has its 95 % interval above 0. Where an untrained network scores as well, a difference between
    trained ones says little. That pairs are chosen by the images that they then score favours the baselines a little.
    """
    pairs, advantages = [], []
    baselines = [subject for subject in grid.subjects if subject.is_baseline]
    for explainer, scorer in itertools.product(grid.settings.explainers, grid.settings.scorers):
        if scorer.metric.category not in INTERPRETABILITY:
            continue
        method, metric = explainer.label, scorer.label
        sign = 1 if scorer.metric.higher_is_better else -1
        over = {"noise": [], "random weights": []}
        for baseline in baselines:
            scores = grid.cells[baseline, method].scores[metric]
            over["noise"].append(sign * (scores - grid.cells[baseline, "random"].scores[metric]))
            untrained = grid.cells[grid.control_of(baseline.name), method].scores[metric]
            over["random weights"].append(sign * (scores - untrained))
        pairs.append((method, scorer))
        advantages += map(statistics.mean_of, over.values())
    if not pairs:
        return []
    _, low, _ = statistics.intervals(np.stack(advantages), seed)
    shown = (low > 0) & ((~np.isnan(advantages)).sum(axis=1) >= statistics.ENOUGH)
    return [pair for pair, both in zip(pairs, shown.reshape(-1, 2), strict=True) if both.all()]


def interpretability_differences(grid: Grid, subject: Subject, reference: Subject, pairs: Pairs) -> np.ndarray:
    """Return how much better or worse a network's maps score than another's, image by image: float64 (n,).

    The mean over pairs of the differences, each signed so that higher is better, in standard deviations of the
    reference's scores between images. NaN where none is defined.
    """
    standardised = []
    for method, scorer in pairs:
        ours, theirs = (grid.cells[s, method].scores[scorer.label] for s in (subject, reference))
        spread = statistics.spread(theirs)
        if spread > 0:
            sign = 1 if scorer.metric.higher_is_better else -1
            standardised.append(sign * (ours - theirs) / spread)
    return statistics.mean_of(standardised) if standardised else np.full(len(grid.settings.sample), np.nan)


def corrected(grid: Grid, subject: Subject, method: str, scorer: Scorer, scores: np.ndarray) -> np.ndarray:
    """Return similarities as shares of the way from the chance level, 0, to identical maps, 1; NaN where that is unknown."""
    chance = statistics.defined_mean(grid.cells[subject, method].chances.get(scorer.label, np.array([np.nan])))
    way = scorer.metric.best - chance
    return (scores - chance) / way if way else np.full(len(scores), np.nan)


def similarity_beyond_retraining(grid: Grid, group: Group) -> np.ndarray:
    """Return how much more alike networks' maps are to their baselines' than retrained networks': float64 (pairs, n).

    The mean over methods and similarities of the difference, each as a share of the way from the chance level to
    identical maps. Of one network, a row for each network that its baseline was trained as with another seed, since
    these differ; of several, a row for each, compared with the mean of those. NaN where there is none.
    """
    members = list(group.members.values())
    rows = []
    for subject in members:
        retrained = grid.retrained_of(subject.baseline)
        parts = [[other] for other in retrained] if len(members) == 1 else [retrained]
        for others in parts:
            shares = []
            for explainer in grid.settings.explainers if others else ():
                method = explainer.label
                for scorer in grid.settings.scorers:
                    if scorer.metric.category == "similarity":
                        floor = statistics.mean_of([grid.cells[s, method].scores[scorer.label] for s in others])
                        ours = grid.cells[subject, method].scores[scorer.label]
                        shares.append(
                            corrected(grid, subject, method, scorer, ours)
                            - corrected(grid, subject, method, scorer, floor)
                        )
            rows.append(statistics.mean_of(shares) if shares else np.full(len(grid.settings.sample), np.nan))
    return np.stack(rows) if rows else np.full((1, len(grid.settings.sample)), np.nan)


def answer(grid: Grid, models: dict[str, Model], pairs: Pairs, seed: int, margin: float) -> pd.DataFrame:
    """Return what the data say of the paper's claims, a row per claim and group of networks (over all their seeds).

    The claims: lower precision lowers accuracy; it lowers interpretability; it changes maps more than retraining
    does; saliency-guided training improves interpretability, at each bit width; and costs accuracy.

    Args:
        pairs: the methods and metrics that interpretability is measured by; see `sound_pairs`.

    Returns:
        Columns: `delta` with its 95 % interval in `unit`; `verdict`: "supported" where the difference lies on the
        claim's side (false discovery rate 5 %), "contradicted" where on the other, "equivalent" where it is
        negligible, else "unsupported"; `text`, a sentence.
    """
    questions = _questions(grid, models, pairs, margin)
    if not questions:
        return pd.DataFrame(columns=COLUMNS)
    seeds = max(len(q.differences) for q in questions)
    results = {}
    # Accuracy is over the whole test set, so its images are others.
    for size in dict.fromkeys(q.differences.shape[1] for q in questions):
        places = [place for place, q in enumerate(questions) if q.differences.shape[1] == size]
        padded = np.full((len(places), seeds, size), np.nan)
        for row, place in enumerate(places):
            padded[row, : len(questions[place].differences)] = questions[place].differences
        effects = statistics.compare_paired(
            padded,
            np.array([questions[place].margin for place in places]),
            np.array([not questions[place].lower for place in places]),
            seed,
            margin=1.0,
        )
        for row, place in enumerate(places):
            results[place] = {name: column[row] for name, column in effects.columns().items()}
    dataset = next(iter(models.values())).card.dataset
    rows = []
    for place, question in enumerate(questions):
        found = results[place]
        named = {"better": "supported", "worse": "contradicted", "equivalent": "equivalent"}
        verdict = named.get(found["verdict"], "unsupported")
        rows.append(
            {
                "dataset": dataset,
                "claim": question.claim,
                "networks": question.networks,
                "seeds": question.seeds,
                "unit": question.unit,
                "delta": found["delta"],
                "ci_low": found["delta_ci_low"],
                "ci_high": found["delta_ci_high"],
                "p_adjusted": found["p_adjusted"],
                "verdict": verdict,
                "text": _sentence(question, found, verdict),
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)


@dataclass(frozen=True)
class Group:
    """Networks that differ from one another in nothing but the seed, the baselines that they have included.

    Attributes:
        name: the scheme's, with the architecture's before it where there are several, and with the first network's behind
            it where that does not tell the group from another of the same training.
        architecture, scheme, training: as their cards say.
        members: by seed.
    """

    name: str
    architecture: str
    scheme: str
    training: str
    members: dict[int, Subject]

    @property
    def first(self) -> str:
        """The name of the first network."""
        return next(iter(self.members.values())).name


def group_over_seeds(grid: Grid, models: dict[str, Model]) -> list[Group]:
    """Return the models in groups, in order; a network trained elsewhere, or with a seed that is taken, stands alone."""
    groups: dict[tuple, Group] = {}
    for name, model in models.items():
        card = model.card
        key = (str(twin(card)), grid.by_name[name].baseline == name)
        if key in groups and card.seed in groups[key].members:
            key = (*key, name)
        empty = Group("", card.architecture.name, card.scheme.name, card.training, {})
        groups.setdefault(key, empty).members[card.seed] = grid.by_name[name]
    return _named(list(groups.values()))


def _named(groups: list[Group]) -> list[Group]:
    several = len({group.architecture for group in groups}) > 1
    named = [replace(g, name=f"{g.architecture} {g.scheme}" if several else g.scheme) for g in groups]
    counts = Counter((group.name, group.training) for group in named)
    return [
        replace(group, name=f"{group.name} ({group.first})") if counts[group.name, group.training] > 1 else group
        for group in named
    ]


def _questions(grid: Grid, models: dict[str, Model], by: Pairs, margin: float) -> list[_Question]:
    groups = group_over_seeds(grid, models)

    def counts(subject: Subject) -> bool:
        """Whether a network says something of lower precision: quantized, beside full precision of its own training."""
        ours, baseline = models[subject.name].card, models[subject.baseline].card
        fair = baseline.scheme.is_full_precision and ours.training in (baseline.training, "external")
        return not subject.is_baseline and not ours.scheme.is_full_precision and fair

    quantized = [group for group in groups if all(map(counts, group.members.values()))]
    unknown = _TOO_FEW if by or len(grid.settings.sample) < statistics.ENOUGH else _NO_PAIR
    asks_interpretability = any(scorer.metric.category in INTERPRETABILITY for scorer in grid.settings.scorers)
    questions = []
    for group in quantized:
        pairs = [(s, grid.by_name[s.baseline]) for s in group.members.values()]
        name = f"{group.name}, {group.training}"
        claim = "lower precision lowers accuracy"
        questions.append(_Question(claim, name, "accuracy", _accuracy(grid, pairs), SAME_ACCURACY, True, len(pairs)))
        if asks_interpretability:
            claim = "lower precision lowers interpretability"
            differences = np.stack([interpretability_differences(grid, *pair, by) for pair in pairs])
            questions.append(_Question(claim, name, "SD", differences, margin, True, len(pairs), unknown))
        claim = "lower precision changes maps more than retraining does"
        differences = similarity_beyond_retraining(grid, group)
        if not np.isnan(differences).all():
            questions.append(_Question(claim, name, "similarity", differences, statistics.SAME_MAPS, True, len(pairs)))
    for group in (group for group in groups if group.training == "saliency-guided"):
        unguided = _unguided(models[group.first].card)
        others = [other for other in groups if other.training == "standard"]
        same = [other for other in others if _unguided(models[other.first].card) == unguided]
        pairs = [(s, same[0].members[seed]) for seed, s in group.members.items() if same and seed in same[0].members]
        if not pairs:
            continue
        name, accuracy = group.name, _accuracy(grid, pairs)
        if asks_interpretability:
            differences = np.stack([interpretability_differences(grid, *pair, by) for pair in pairs])
            claim = "saliency-guided training improves interpretability"
            questions.append(_Question(claim, name, "SD", differences, margin, False, len(pairs), unknown))
        claim = "saliency-guided training lowers accuracy"
        questions.append(_Question(claim, name, "accuracy", accuracy, SAME_ACCURACY, True, len(pairs)))
    order = list(dict.fromkeys(q.claim for q in questions))
    return sorted(questions, key=lambda q: order.index(q.claim))


def _unguided(card: Card) -> tuple:
    """Return what a network shares with one that differs from it in saliency-guided training alone, and in the seed."""
    return twin(replace(card, recipe=replace(card.recipe, saliency_guided=None)))


def _accuracy(grid: Grid, pairs: Sequence[tuple[Subject, Subject]]) -> np.ndarray:
    """Return by pair and test image whether the one is right minus whether the other is: float (pairs, test images)."""
    right = {name: (logits.argmax(axis=1) == grid.test_labels).astype(float) for name, logits in grid.logits.items()}
    return np.stack([right[subject.name] - right[other.name] for subject, other in pairs])


def _sentence(question: _Question, found: dict, verdict: ClaimVerdict) -> str:
    if found["n"] < statistics.ENOUGH:
        return f"{question.networks}: nothing can be said: {question.unknown}."
    scale, unit, digits = {
        "accuracy": (100, " points of accuracy", 2),
        "SD": (1, " standard deviations", 3),
        "similarity": (100, " % of the way from unrelated to identical maps", 1),
    }[question.unit]
    value, low, high = (scale * found[name] for name in ("delta", "delta_ci_low", "delta_ci_high"))
    numbers = f"{_signed(value, digits)}{unit} [{_signed(low, digits)}, {_signed(high, digits)}]"
    words = {
        "supported": "the data support it",
        "contradicted": "the data say the opposite",
        "equivalent": f"no difference that matters (within ±{scale * question.margin:g})",
        "unsupported": "the data do not support it",
    }
    over = f"over {question.seeds} seeds" if question.seeds > 1 else "one seed"
    if (
        verdict == "unsupported"
    ):  # of the interval alone, which is not corrected for the number of claims, it may look so
        over += f", p = {found['p_adjusted']:.2g} after correction"
    return f"{question.networks}: {words[verdict]}: {numbers}, {over}."


def _signed(number: float, digits: int = 2) -> str:
    """Return a number with its sign, a minus and no hyphen."""
    return f"{number:+z.{digits}f}".replace("-", "−")


def headline(tables: dict[str, pd.DataFrame]) -> list[str]:
    """Return the three sentences that a report begins with: accuracy, interpretability, the maps."""
    models, summary = tables["models"], tables["summary"]
    compared = models[models["model"] != models["baseline"]]
    if compared.empty:
        return [
            f"{len(models)} {'network, a baseline' if len(models) == 1 else 'networks, all baselines'}, and no other to "
            "compare with.",
            "So nothing is said about quantization.",
            "The scores of their maps are below.",
        ]
    widths = models.set_index("model")["weight_bits"]
    full = (widths[models["baseline"].unique()] == "32").all()
    baseline = "the full-precision network" if full else "the baseline"
    deltas = 100 * compared.groupby(["networks", "training"], sort=False)["accuracy_delta"].mean()
    trainings = compared["training"].nunique()
    said = ", ".join(
        f"{name}{f', {training},' if trainings > 1 else ''} {_signed(delta)}"
        for (name, training), delta in deltas.items()
    )
    rows = summary[(summary["role"] == "model") & (summary["model"] != summary["baseline"])]
    judged = rows[rows["category"].isin(INTERPRETABILITY)]
    similar = rows[rows["category"] == "similarity"]
    against = similar[similar["floor"].notna()]
    if len(against):
        worse, better = ((against["verdict"] == verdict).sum() for verdict in ("worse", "better"))
        maps = (
            f"The maps differ from {baseline}'s more than retraining it with another seed makes them differ in {worse} of "
            f"{len(against)} comparisons, and less in {better}{_too_few(against)}."
        )
    elif len(similar):
        maps = "How much retraining changes maps is not known: the zoo holds no such network of another seed."
    else:
        maps = "No metric of similarity was asked for, so nothing is said of how much the maps changed."
    return [
        f"Test accuracy against {baseline}, in points: {said}.",
        f"Of {len(judged)} comparisons of faithfulness and localisation with {baseline}, {_counts(judged)}.",
        maps,
    ]


def _counts(rows: pd.DataFrame) -> str:
    counts = rows["verdict"].value_counts()
    worse, better, same, few = (
        int(counts.get(verdict, 0)) for verdict in ("worse", "better", "equivalent", statistics.TOO_FEW)
    )
    rest = len(rows) - worse - better - same - few
    return f"{worse} are worse, {better} better, {same} equivalent, and {rest} show nothing{_too_few(rows)}"


def _too_few(rows: pd.DataFrame) -> str:
    few = int((rows["verdict"] == statistics.TOO_FEW).sum())
    return f"; {few} have too few images for a verdict, below {statistics.ENOUGH}" if few else ""
