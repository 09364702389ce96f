"""What a comparison found, in plain sentences: claims, and what the data say of them.

Claims are tested from both sides: the literature reports quantized networks that look at the right place less, and such
that do more. Each claim speaks of one step (see `saq_eval.analysis.steps`); those of lower precision speak of the step
from the parent trained on in full precision to the quantized network, so that further training is not charged to the bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from saq_eval.analysis import statistics
from saq_eval.analysis.groups import (
    Group,
    Step,
    beside_retraining,
    corrected,
    group_over_seeds,
    retrained_means,
    step_scores,
)
from saq_eval.analysis.interpretability import CATEGORIES, Composite, leave_one_out
from saq_eval.analysis.steps import STEPS, StepName
from saq_eval.analysis.wording import OPPOSITE, Found, in_words, signed
from saq_eval.evaluation.grid import Grid, Subject
from saq_eval.zoo import Model
from saq_eval.zoo.cards import Card, twin

ClaimVerdict = Literal[
    "supported",
    "contradicted",
    "supported, but within the margin",
    "contradicted, but within the margin",
    "negligible",
    "not shown",
    "too few images",
    "",
]
Quantity = Literal["accuracy", "interpretability", "similarity"]
SAME_ACCURACY = 0.005  # two seeds of one quantized network differ by up to half a point in the literature
COLUMNS = (
    *("dataset", "claim", "step", "quantity", "networks", "group", "training", "scope", "seeds", "unit"),
    *("delta", "ci_low", "ci_high", "p_value", "p_adjusted", "p_opposite", "p_equivalence"),
    *("margin", "margin_in_spreads", "verdict", "retraining_low", "retraining_high", "retraining"),
    *("without_low", "without_high", "words", "text"),
)
UNITS: dict[Quantity, str] = {"accuracy": "accuracy", "interpretability": "SD", "similarity": "similarity"}
_WHAT: dict[StepName, str] = {
    "bits": "lower precision",
    "further training": "further training in full precision",
    "whole": "lower precision with its further training",
}
_CLAIMS: dict[Quantity, str] = {
    "accuracy": "lowers accuracy",
    "interpretability": "lowers interpretability",
    "similarity": "changes maps more than retraining does",
}
_NO_PAIR = "no score is shown to tell trained networks' maps from untrained ones'"


@dataclass(frozen=True)
class _Question:
    """One claim about some networks, as differences whose mean the claim says to be below (or above) 0.

    Attributes:
        differences: float (networks, images).
        margin, reach: see `saq_eval.analysis.statistics.compare_paired`.
        lower: whether the claim says that the difference is below 0.
        retrained: float (r,), the mean differences of networks that were retrained.
        by_retraining: whether the difference is to the retrained networks' mean.
        without: the least and the greatest difference that is left without one of the methods.
        unknown: why nothing can be said, where that is so.
    """

    claim: str
    step: StepName
    quantity: Quantity
    group: str
    training: str
    seeds: int
    differences: np.ndarray
    margin: float
    reach: float
    lower: bool = True
    retrained: np.ndarray | None = None
    by_retraining: bool = False
    without: tuple[float, float] = (np.nan, np.nan)
    unknown: str = f"fewer than {statistics.ENOUGH} images have a score"

    @property
    def networks(self) -> str:
        return f"{self.group}, {self.training}"

    @property
    def margin_in_spreads(self) -> float:
        """The margin over the standard deviation between retrained networks; NaN for fewer than three of them."""
        retrained = np.full(1, np.nan) if self.retrained is None else self.retrained
        spread = statistics.spread(retrained)
        enough = (~np.isnan(retrained)).sum() >= statistics.NETWORKS
        return self.margin / spread if enough and spread > 0 and not self.by_retraining else np.nan


def answer(grid: Grid, models: dict[str, Model], composite: Composite, margin: float) -> pd.DataFrame:
    """Return what the data say of the claims, a row per claim and group of networks (over all their seeds).

    The claims: lower precision lowers accuracy; it lowers interpretability; it changes maps more than retraining does; the
    same of further training in full precision, and of both together; saliency-guided training improves
    interpretability, at each bit width; and costs accuracy.

    Args:
        composite: what interpretability is measured by.
        margin: in standard deviations of the composite.

    Returns:
        A row's `delta` is in `unit`. `ci_low` and `ci_high` are 95 % limits, each by itself, corrected as the p-values are.
        `p_adjusted` is the claim's, `p_opposite` its opposite's, each one-sided and corrected for the claim's rows.
        `verdict`: "supported" or "contradicted", either also "but within the margin"; "negligible" within it, "not
        shown", "too few images", "" where there is nothing to measure by. `margin_in_spreads` is the margin over the
        standard deviation between retrained networks. `without_low`, `without_high`: the range of the difference
        without one of the methods.
        `words` say what was found; `text` says it in a sentence.
    """
    questions = _questions(grid, models, composite, margin)
    if not questions:
        return pd.DataFrame(columns=COLUMNS)
    dataset = next(iter(models.values())).card.dataset
    found: dict[int, dict] = {}
    for claim in dict.fromkeys(q.claim for q in questions):
        places = [place for place, q in enumerate(questions) if q.claim == claim]
        found |= dict(zip(places, _tested([questions[place] for place in places]), strict=True))
    rows = [
        {
            "dataset": dataset,
            "claim": q.claim,
            "step": q.step,
            "quantity": q.quantity,
            "networks": q.networks,
            "group": q.group,
            "training": q.training,
            "seeds": q.seeds,
            "unit": UNITS[q.quantity],
            "margin": q.margin,
            "margin_in_spreads": q.margin_in_spreads,
            "without_low": q.without[0],
            "without_high": q.without[1],
            **found[place],
        }
        for place, q in enumerate(questions)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _tested(questions: Sequence[_Question]) -> list[dict]:
    """Test the rows of one claim, which are corrected together."""
    values = statistics.padded([q.differences for q in questions])
    retrained = statistics.padded([np.full(1, np.nan) if q.retrained is None else q.retrained for q in questions])
    margins = np.array([q.margin for q in questions])
    reach = np.array([q.reach for q in questions])
    effects = statistics.compare_paired(
        values,
        margins,
        np.ones(len(questions), dtype=bool),
        margin=1.0,
        reach=reach,
        retrained=retrained,
        by_retraining=np.array([q.by_retraining for q in questions]),
    )
    estimates = effects.estimates
    family = np.zeros(len(questions), dtype=int)
    lower = np.array([q.lower for q in questions])
    below, above = estimates.below(), estimates.above()
    below_adjusted, above_adjusted = statistics.adjust(below, family), statistics.adjust(above, family)
    claimed, opposite = (
        np.where(lower, *pair) for pair in ((below_adjusted, above_adjusted), (above_adjusted, below_adjusted))
    )
    # Each limit is corrected as the p-value is that it belongs to, so that the two never disagree.
    low, _ = estimates.limits(statistics.LEVEL * statistics.correction(above, above_adjusted))
    _, high = estimates.limits(statistics.LEVEL * statistics.correction(below, below_adjusted))
    rows = []
    for row, question in enumerate(questions):
        same = effects.p_equivalence[row] < statistics.LEVEL
        within = ", but within the margin" if same else ""
        if question.unknown == _NO_PAIR:
            verdict: ClaimVerdict = ""
        elif effects.n[row] < statistics.ENOUGH:
            verdict = "too few images"
        elif claimed[row] < statistics.LEVEL:
            verdict = f"supported{within}"
        elif opposite[row] < statistics.LEVEL:
            verdict = f"contradicted{within}"
        else:
            verdict = "negligible" if same else "" if np.isnan(claimed[row]) else "not shown"
        here = Found(
            delta=effects.delta[row],
            low=low[row],
            high=high[row],
            margin=question.margin,
            verdict=verdict,
            quantity=question.quantity,
            lower=question.lower,
            networks_needed=effects.networks_needed[row],
            images_needed=effects.images_needed[row] if question.quantity != "accuracy" else np.nan,
        )
        words = in_words(here)
        rows.append(
            {
                "scope": effects.scope[row],
                "delta": effects.delta[row],
                "ci_low": low[row],
                "ci_high": high[row],
                "p_value": (below if question.lower else above)[row],
                "p_adjusted": claimed[row],
                "p_opposite": opposite[row],
                "p_equivalence": effects.p_equivalence[row],
                "verdict": verdict,
                "retraining_low": effects.retraining_low[row],
                "retraining_high": effects.retraining_high[row],
                "retraining": effects.retraining[row],
                "words": words,
                "text": _sentence(question, effects.scope[row], effects.retraining[row], here, words),
            }
        )
    return rows


def _questions(grid: Grid, models: dict[str, Model], composite: Composite, margin: float) -> list[_Question]:
    groups = group_over_seeds(grid, models)

    def counts(subject: Subject) -> bool:
        """Whether a network says something of lower precision: beside a full-precision baseline of its own training."""
        ours, baseline = models[subject.name].card, models[subject.baseline].card
        fair = baseline.scheme.is_full_precision and ours.training in (baseline.training, "external")
        return not subject.is_baseline and ours.scheme.starts_from_parent and fair

    steps = [
        (group, step) for group in groups if all(map(counts, group.members.values())) for step in group.steps(grid)
    ]
    questions = []
    pooled: dict[tuple[str, StepName], list[tuple[Group, Step]]] = {}
    for group, step in steps:
        card = models[group.first].card
        alike = group.name if card.recipe is None else str(_unguided(card))
        pooled.setdefault((alike, step.name), []).append((group, step))
    for (_, step_name), parts in pooled.items():
        questions.append(_accuracy_question(grid, step_name, parts))
    asks_interpretability = any(scorer.metric.category in CATEGORIES for scorer in grid.settings.scorers)
    for group, step in steps:
        if asks_interpretability:
            claim = f"{_WHAT[step.name]} {_CLAIMS['interpretability']}"
            pairs = list(step.pairs.values())
            question = _interpretability_question(grid, composite, margin, claim, step.name, group, pairs)
            questions.append(replace(question, retrained=_retrained_interpretability(grid, composite, pairs)))
        similarity = _similarity_question(grid, f"{_WHAT[step.name]} {_CLAIMS['similarity']}", group, step)
        if not np.isnan(similarity.differences).all():
            questions.append(similarity)
    for group in (group for group in groups if group.training == "saliency-guided"):
        unguided = _unguided(models[group.first].card)
        others = [other for other in groups if other.training == "standard"]
        same = [other for other in others if _unguided(models[other.first].card) == unguided]
        matched = {
            seed: (s, same[0].members[seed]) for seed, s in group.members.items() if same and seed in same[0].members
        }
        if not matched:
            continue
        pairs = list(matched.values())
        if asks_interpretability:
            claim = "saliency-guided training improves interpretability"
            question = _interpretability_question(grid, composite, margin, claim, "whole", group, pairs)
            questions.append(replace(question, lower=False))
        claim = "saliency-guided training lowers accuracy"
        differences = _accuracy(grid, pairs)
        questions.append(
            _Question(
                claim,
                "whole",
                "accuracy",
                group.name,
                group.training,
                len(pairs),
                differences,
                SAME_ACCURACY,
                reach=1.0,
            )
        )
    order = list(dict.fromkeys(q.claim for q in questions))
    return sorted(questions, key=lambda q: order.index(q.claim))


def _accuracy_question(grid: Grid, step: StepName, parts: list[tuple[Group, Step]]) -> _Question:
    """Return the question of accuracy, standard and saliency-guided training together: by seed, the mean of both."""
    trainings = list(dict.fromkeys(group.training for group, _ in parts))
    seeds = list(dict.fromkeys(seed for _, part in parts for seed in part.pairs))
    differences = np.stack(
        [
            statistics.mean_of([_accuracy(grid, [part.pairs[seed]])[0] for _, part in parts if seed in part.pairs])
            for seed in seeds
        ]
    )
    others = [other for _, part in parts for _, other in part.pairs.values()]
    baselines = {grid.by_name[s.baseline].identity: grid.accuracies[grid.by_name[s.baseline]] for s in others}
    retrained = {r.identity: grid.accuracies[r] for s in others for r in grid.retrained_of(s.baseline)}
    band = None if len(trainings) > 1 else retrained_means(baselines, retrained)
    claim = f"{_WHAT[step]} {_CLAIMS['accuracy']}"
    return _Question(
        claim,
        step,
        "accuracy",
        parts[0][0].name,
        " and ".join(trainings),
        len(seeds),
        differences,
        SAME_ACCURACY,
        reach=1.0,
        retrained=band,
    )


def _interpretability_question(
    grid: Grid,
    composite: Composite,
    margin: float,
    claim: str,
    step: StepName,
    group: Group,
    pairs: Sequence[tuple[Subject, Subject]],
) -> _Question:
    by_method = np.stack([composite.differences(grid, *pair) for pair in pairs], axis=1)  # (methods, networks, n)
    differences = np.stack([composite.mean(by_method[:, place]) for place in range(len(pairs))])
    own_margin = margin * composite.spread
    question = _Question(
        claim,
        step,
        "interpretability",
        group.name,
        group.training,
        len(pairs),
        differences,
        own_margin,
        reach=statistics.reach(differences),
        without=leave_one_out(by_method),
    )
    if composite.pairs or len(grid.settings.sample) < statistics.ENOUGH:
        return question
    return replace(question, unknown=_NO_PAIR)


def _retrained_interpretability(
    grid: Grid, composite: Composite, pairs: Sequence[tuple[Subject, Subject]]
) -> np.ndarray:
    """Return how far the composites of full-precision networks that differ in the seed alone lie apart: float64 (r,)."""
    baselines = [grid.by_name[subject.baseline] for subject, _ in pairs]

    def level(subject: Subject) -> float:
        return statistics.defined_mean(composite.mean(composite.levels(grid, subject)))

    own = {baseline.identity: level(baseline) for baseline in baselines}
    others = {r.identity: level(r) for baseline in baselines for r in grid.retrained_of(baseline.name)}
    return retrained_means(own, others)


def _similarity_question(grid: Grid, claim: str, group: Group, step: Step) -> _Question:
    """Return the question whether maps are less alike than those of retrained networks, over methods and similarities."""
    own, floors, names = [], [], []
    scorers = [scorer for scorer in grid.settings.scorers if scorer.metric.category == "similarity"]
    keys = [(explainer.label, scorer) for explainer in grid.settings.explainers for scorer in scorers]
    nothing = np.full(len(grid.settings.sample), np.nan)

    def share(subject: Subject, scores: list[np.ndarray]) -> np.ndarray:
        parts = [corrected(grid, subject, *key, values) for key, values in zip(keys, scores, strict=True)]
        return statistics.mean_of(parts) if parts else nothing

    for subject, _ in step.pairs.values():
        names.append(grid.by_name[subject.baseline].identity)
        own.append(share(subject, [step_scores(grid, step.name, subject, m, s.label, True) for m, s in keys]))
        floors.append(
            {
                r.identity: share(subject, [grid.cells[r, m].scores[s.label] for m, s in keys])
                for r in grid.retrained_of(subject.baseline)
            }
        )
    differences, retrained = beside_retraining(own, floors, names)
    return _Question(
        claim,
        step.name,
        "similarity",
        group.name,
        group.training,
        len(own),
        differences,
        statistics.SAME_MAPS,
        reach=1.0,
        retrained=retrained,
        by_retraining=len(own) < statistics.NETWORKS,
        unknown=f"it takes {statistics.NETWORKS} retrained networks at least",
    )


def _unguided(card: Card) -> tuple:
    """Return what a network shares with one that differs from it in saliency-guided training alone, and in the seed."""
    return twin(replace(card, recipe=replace(card.recipe, saliency_guided=None)))


def _accuracy(grid: Grid, pairs: Sequence[tuple[Subject, Subject]]) -> np.ndarray:
    """Return by pair and test image whether the one is right minus whether the other is: float (pairs, test images)."""
    right = {
        s.name: (grid.logits[s.name].argmax(axis=1) == grid.test_labels).astype(float) for pair in pairs for s in pair
    }
    return np.stack([right[subject.name] - right[other.name] for subject, other in pairs])


def _sentence(question: _Question, scope: str, retraining: str, found: Found, words: str) -> str:
    if found.verdict in ("too few images", ""):
        return f"{question.networks}: nothing can be said: {question.unknown}."
    over = (
        f"{question.seeds} seeds"
        if scope == "scheme"
        else "these networks alone"
        if question.seeds > 1
        else "this network alone"
    )
    parts = [f"{question.networks}: {words}", over]
    if not np.isnan(question.without[0]):
        ends = " to ".join(signed(end, 2) for end in question.without)
        parts.append(f"without one of the methods {ends}")
    if not np.isnan(question.margin_in_spreads):
        parts.append(f"the margin is {question.margin_in_spreads:.1f} spreads between retrained networks")
    if retraining and not question.by_retraining:
        parts.append(_beside(retraining))
    return "; ".join(parts) + "."


def headline(tables: dict[str, pd.DataFrame]) -> list[str]:
    """Return the sentences that a report begins with: accuracy, interpretability, the maps, and what they speak of."""
    models, found = tables["models"], tables["findings"]
    compared = models[models["model"] != models["baseline"]]
    if compared.empty:
        return [
            f"{len(models)} {'network, a baseline' if len(models) == 1 else 'networks, all baselines'}, and no other to "
            "compare with.",
            "So nothing is said about quantization.",
            "The scores of their maps are below.",
        ]
    asked = found[found["claim"].str.contains("lower precision")]
    if asked.empty:
        deltas = compared.groupby(["networks", "training"], sort=False)["accuracy_delta"].mean()
        said = ", ".join(f"{name}, {training}, {signed(100 * delta, 2)}" for (name, training), delta in deltas.items())
        return [
            f"Test accuracy against the baseline, in points: {said}.",
            "No network is compared with a full-precision one of its own training, so nothing is said about quantization.",
            "How the networks differ from the baseline is below, metric by metric.",
        ]
    order = list(STEPS)
    first = asked.assign(place=asked["step"].map(order.index)).sort_values("place", kind="stable")
    rows = first.drop_duplicates(["quantity", "group", "training"]).sort_index()
    lines = []
    for quantity, what in (
        ("accuracy", "What lower precision does to accuracy"),
        ("interpretability", "To interpretability"),
        ("similarity", "To the likeness of maps, beside that of retrained networks"),
    ):
        mine = rows[rows["quantity"] == quantity]
        if len(mine):
            lines.append(f"{what}: {_listed(mine)}.")
    if (rows["scope"] == "scheme").all():
        lines.append(f"This speaks of networks that are trained so, from {int(rows['seeds'].min())} seeds.")
    elif (rows["scope"] == "network").all():
        lines.append(
            f"This speaks of these networks alone: it takes {statistics.NETWORKS} seeds to speak of a bit width."
        )
    else:
        lines.append(
            f"Where there are {statistics.NETWORKS} seeds, this speaks of networks trained so, else of these alone."
        )
    return lines


def _listed(rows: pd.DataFrame) -> str:
    parts = []
    for row in rows.itertuples():
        said = row.words.removeprefix(OPPOSITE).partition("; about")[0] or "nothing can be said"
        beside = [] if row.step == "bits" else ["further training included"]
        if row.scope == "network" and row.retraining and row.quantity != "similarity":
            beside.append(_beside(row.retraining))
        parts.append(f"{row.networks}: {said}" + (f" ({', '.join(beside)})" if beside else ""))
    return "; ".join(parts)


def _beside(retraining: str) -> str:
    return f"{retraining} what retraining does"
