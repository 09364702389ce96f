"""The questions of a comparison: each is a claim about some networks, with the differences to test.

Claims are tested in both directions, since the literature reports both: quantized networks that look less at the right
place, and quantized networks that look more at it. Each claim is about one step (see `saq_eval.analysis.steps`). Claims
about lower precision are about the step from the fine-tuned parent, which was trained further in full precision, to the
quantized network. So effects of further training are not attributed to the bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from saq_eval.analysis import statistics
from saq_eval.analysis.groups import Group, Step, beside_retraining, retrained_means, step_scores
from saq_eval.analysis.interpretability import CATEGORIES, leave_one_out
from saq_eval.analysis.results import Results
from saq_eval.analysis.steps import StepName
from saq_eval.evaluation.grid import Grid
from saq_eval.evaluation.settings import Subject

Pair = tuple[Subject, Subject]

Quantity = Literal["accuracy", "interpretability", "similarity"]
SAME_ACCURACY = 0.005  # two seeds of one quantized network differ by up to half a point in the literature
UNITS: dict[Quantity, str] = {"accuracy": "accuracy", "interpretability": "SD", "similarity": "similarity"}
_WHAT: dict[StepName, str] = {
    "bits": "lower precision",
    "further training": "further training in full precision",
    "whole": "lower precision with its further training",
    "change": "the change from the baseline",
}
_SAYS: dict[Quantity, str] = {
    "accuracy": "lowers accuracy",
    "interpretability": "lowers interpretability",
    "similarity": "changes maps more than retraining does",
}
NO_PAIR = "no score is shown to tell trained networks' maps from untrained ones'"


@dataclass(frozen=True)
class Question:
    """One claim about some networks: the mean of the differences is below (or above) 0.

    Attributes:
        differences: float (networks, images).
        margin, reach: see `saq_eval.analysis.statistics.compare_paired`.
        lower: whether the claim is that the mean is below 0.
        retrained: float (r,), the mean differences of retrained networks.
        by_retraining: whether the differences are to the retrained networks' mean.
        without: the smallest and the largest mean difference when one of the methods is left out.
        unknown: the reason to give if nothing can be said.
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
        return f"{self.group}, {self.training}" if self.training else self.group

    @property
    def margin_in_spreads(self) -> float:
        """The margin over the standard deviation between retrained networks; NaN for fewer than three of them."""
        retrained = np.full(1, np.nan) if self.retrained is None else self.retrained
        spread = statistics.spread(retrained)
        enough = (~np.isnan(retrained)).sum() >= statistics.NETWORKS
        return self.margin / spread if enough and spread > 0 and not self.by_retraining else np.nan


def questions_of(results: Results) -> list[Question]:
    """Return the questions, sorted so that those of one claim follow each other.

    The claims are that lower precision lowers accuracy, lowers interpretability, and changes maps more than retraining
    does; the same three for further training in full precision, for both together, and for a change from the baseline of
    which it is not known what it was; that saliency-guided training
    improves interpretability, at each bit width; and that it lowers accuracy.
    """
    steps = [
        (group, step)
        for group in results.groups
        if all(_counts(results, subject, group.from_baseline) for subject in group.members.values())
        for step in group.steps(results.grid)
    ]
    questions = _accuracy_questions(results, steps)
    for group, step in steps:
        if _asks_interpretability(results):
            claim = f"{_WHAT[step.name]} {_SAYS['interpretability']}"
            pairs = list(step.pairs.values())
            question = _interpretability_question(results, claim, step.name, group, pairs)
            questions.append(replace(question, retrained=_retrained_interpretability(results, pairs)))
        similarity = _similarity_question(results, group, step)
        if not np.isnan(similarity.differences).all():
            questions.append(similarity)
    questions += _questions_of_guidance(results)
    order = list(dict.fromkeys(question.claim for question in questions))
    return sorted(questions, key=lambda question: order.index(question.claim))


def _counts(results: Results, subject: Subject, step: StepName) -> bool:
    """Tell whether a network can test the claims about the step from its baseline.

    Claims about lower precision and further training need a full-precision baseline of the same training.
    """
    ours, baseline = (results.networks[name] for name in (subject.name, subject.baseline))
    if step == "change":
        return not subject.is_baseline
    fair = bool(baseline.full_precision) and ours.training in (baseline.training, "external")
    made_from_it = bool(ours.further_trained) or step == "bits"
    return not subject.is_baseline and made_from_it and fair


def _asks_interpretability(results: Results) -> bool:
    return any(results.metric(metric).category in CATEGORIES for metric in results.scorers)


def _accuracy_questions(results: Results, steps: Sequence[tuple[Group, Step]]) -> list[Question]:
    """Return the questions on accuracy, each over standard and saliency-guided training together."""
    pooled: dict[tuple[str, StepName], list[tuple[Group, Step]]] = {}
    for group, step in steps:
        alike = results.networks[group.first].kin_but_guidance or group.name
        pooled.setdefault((alike, step.name), []).append((group, step))
    return [_accuracy_question(results.grid, step, parts) for (_, step), parts in pooled.items()]


def _accuracy_question(grid: Grid, step: StepName, parts: list[tuple[Group, Step]]) -> Question:
    """Return one question on accuracy; for each seed, the difference is the mean over the trainings."""
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
    return Question(
        claim=f"{_WHAT[step]} {_SAYS['accuracy']}",
        step=step,
        quantity="accuracy",
        group=parts[0][0].name,
        training=" and ".join(trainings),
        seeds=len(seeds),
        differences=differences,
        margin=SAME_ACCURACY,
        reach=1.0,
        retrained=None if len(trainings) > 1 else retrained_means(baselines, retrained),
    )


def _questions_of_guidance(results: Results) -> list[Question]:
    """Return the questions on saliency-guided training, which compare networks that differ only in it."""
    questions = []
    standard = [group for group in results.groups if group.training == "standard"]

    def alike(group: Group) -> str | None:
        return results.networks[group.first].kin_but_guidance

    for group in (group for group in results.groups if group.training == "saliency-guided"):
        same = [other for other in standard if alike(other) == alike(group)]
        others = same[0].members if same else {}
        pairs = [(subject, others[seed]) for seed, subject in group.members.items() if seed in others]
        if not pairs:
            continue
        if _asks_interpretability(results):
            claim = "saliency-guided training improves interpretability"
            question = _interpretability_question(results, claim, "whole", group, pairs)
            questions.append(replace(question, lower=False))
        questions.append(
            Question(
                claim="saliency-guided training lowers accuracy",
                step="whole",
                quantity="accuracy",
                group=group.name,
                training=group.training,
                seeds=len(pairs),
                differences=_accuracy(results.grid, pairs),
                margin=SAME_ACCURACY,
                reach=1.0,
            )
        )
    return questions


def _interpretability_question(
    results: Results, claim: str, step: StepName, group: Group, pairs: Sequence[Pair]
) -> Question:
    grid, composite = results.grid, results.composite
    by_method = np.stack([composite.differences(grid, *pair) for pair in pairs], axis=1)  # (methods, networks, n)
    differences = np.stack([composite.mean(by_method[:, place]) for place in range(len(pairs))])
    question = Question(
        claim=claim,
        step=step,
        quantity="interpretability",
        group=group.name,
        training=group.training,
        seeds=len(pairs),
        differences=differences,
        margin=results.margin * composite.spread,
        reach=statistics.reach(differences),
        without=leave_one_out(by_method),
    )
    if composite.pairs or len(grid.settings.sample) < statistics.ENOUGH:
        return question
    return replace(question, unknown=NO_PAIR)


def _retrained_interpretability(results: Results, pairs: Sequence[Pair]) -> np.ndarray:
    """Return the differences between the composites of baselines and of their retrained networks: float64 (r,)."""
    grid, composite = results.grid, results.composite
    baselines = [results.baseline(subject) for subject, _ in pairs]

    def level(subject: Subject) -> float:
        return statistics.defined_mean(composite.mean(composite.levels(grid, subject)))

    own = {baseline.identity: level(baseline) for baseline in baselines}
    others = {r.identity: level(r) for baseline in baselines for r in grid.retrained_of(baseline.name)}
    return retrained_means(own, others)


def _similarity_question(results: Results, group: Group, step: Step) -> Question:
    """Return the question whether maps are less similar than those of retrained networks, over methods and similarities."""
    grid = results.grid
    similarities = [metric for metric in results.scorers if results.is_similarity(metric)]
    keys = [(method, metric) for method in results.methods for metric in similarities]
    nothing = np.full(len(grid.settings.sample), np.nan)

    def share(subject: Subject, scores: list[np.ndarray]) -> np.ndarray:
        parts = [results.corrected(subject, *key, values) for key, values in zip(keys, scores, strict=True)]
        return statistics.mean_of(parts) if parts else nothing

    own, floors, names = [], [], []
    for subject, _ in step.pairs.values():
        names.append(results.baseline(subject).identity)
        own.append(share(subject, [step_scores(grid, step.name, subject, *key, similar=True) for key in keys]))
        floors.append(
            {
                r.identity: share(subject, [grid.scores(r, method, metric) for method, metric in keys])
                for r in grid.retrained_of(subject.baseline)
            }
        )
    differences, retrained = beside_retraining(own, floors, names)
    return Question(
        claim=f"{_WHAT[step.name]} {_SAYS['similarity']}",
        step=step.name,
        quantity="similarity",
        group=group.name,
        training=group.training,
        seeds=len(own),
        differences=differences,
        margin=statistics.SAME_MAPS,
        reach=1.0,
        retrained=retrained,
        by_retraining=len(own) < statistics.NETWORKS,
        unknown=f"it takes {statistics.NETWORKS} retrained networks at least",
    )


def _accuracy(grid: Grid, pairs: Sequence[Pair]) -> np.ndarray:
    """Return, by pair and test image, the first network's correctness (1 or 0) minus the second's: float (pairs, images)."""
    right = {
        s.name: (grid.logits[s.name].argmax(axis=1) == grid.test_labels).astype(float) for pair in pairs for s in pair
    }
    return np.stack([right[subject.name] - right[other.name] for subject, other in pairs])
