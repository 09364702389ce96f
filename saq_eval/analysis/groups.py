"""Networks that differ in nothing but the seed, and the steps from one to another: what a comparison is about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from saq_eval.analysis import statistics
from saq_eval.analysis.steps import StepName
from saq_eval.evaluation.grid import Grid
from saq_eval.evaluation.settings import Subject
from saq_eval.networks.network import Facts


@dataclass(frozen=True)
class Step:
    """One step of a group: its networks, each beside what it is compared with.

    Attributes:
        name: see `saq_eval.analysis.steps`.
        pairs: by seed, the network and the other.
    """

    name: StepName
    pairs: dict[int, tuple[Subject, Subject]]


@dataclass(frozen=True)
class Group:
    """Networks that differ from one another in nothing but the seed, the baselines that they have included.

    Attributes:
        name: the scheme's, with the architecture's before it where there are several, and with the first network's behind
            it where that does not tell the group from another of the same training.
        architecture, scheme, training: see `saq_eval.networks.network.Facts`.
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

    def steps(self, grid: Grid) -> list[Step]:
        """Return what its networks are compared with, step by step; nothing for baselines."""
        compared = {seed: subject for seed, subject in self.members.items() if not subject.is_baseline}
        tuned = {seed: s for seed, s in compared.items() if s.fine_tuned and not s.is_fine_tuned}
        whole: StepName = "further training" if all(s.is_fine_tuned for s in compared.values()) else "whole"
        steps = [
            Step("bits", {seed: (s, grid.by_name[s.fine_tuned]) for seed, s in tuned.items()}),
            Step(whole, {seed: (s, grid.by_name[s.baseline]) for seed, s in compared.items()}),
        ]
        return [step for step in steps if step.pairs]


def group_over_seeds(grid: Grid, facts: Mapping[str, Facts]) -> list[Group]:
    """Return the models in groups, in order; a network trained elsewhere, or with a seed that is taken, stands alone."""
    groups: dict[tuple, Group] = {}
    for name, known in facts.items():
        key: tuple = (known.kin, grid.by_name[name].baseline == name)
        if key in groups and known.seed in groups[key].members:
            key = (*key, name)
        empty = Group("", known.architecture, known.scheme, known.training, {})
        groups.setdefault(key, empty).members[known.seed] = grid.by_name[name]
    return _named(list(groups.values()))


def _named(groups: list[Group]) -> list[Group]:
    several = len({group.architecture for group in groups}) > 1
    named = [replace(g, name=f"{g.architecture} {g.scheme}" if several else g.scheme) for g in groups]
    counts = Counter((group.name, group.training) for group in named)
    return [
        replace(group, name=f"{group.name} ({group.first})") if counts[group.name, group.training] > 1 else group
        for group in named
    ]


def step_scores(grid: Grid, step: StepName, subject: Subject, method: str, metric: str, similar: bool) -> np.ndarray:
    """Return a network's scores in a step, float64 (n,): of similarities, those to the maps that it is compared with."""
    cell = grid.cell(subject, method, metric)
    if not similar or step != "bits":
        return cell.scores
    assert cell.to_fine_tuned is not None, "in this step a network has a fine-tuned partner, and its maps are compared"
    return cell.to_fine_tuned


def beside_retraining(
    own: list[np.ndarray], floors: list[dict[str, np.ndarray]], names: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Set similarities to what networks are compared with beside those of networks that were retrained.

    Args:
        own: of each network, float64 (n,).
        floors: of each network's baseline, by retrained network, how alike that one's maps are to the baseline's.
        names: of the baselines, as the keys of `floors` call them.

    Returns:
        The differences, float64 (networks, n): of three networks and more, their jackknifed pseudo-values. And, of a
        single network, the mean differences of the retrained ones, float64 (r,); else one NaN.
    """
    if len(own) >= statistics.NETWORKS:
        nothing = np.full(own[0].shape, np.nan)
        between = np.stack([np.stack([floor.get(other, nothing) for other in names]) for floor in floors])
        return statistics.jackknife(np.stack(own), between), np.full(1, np.nan)
    means = [statistics.mean_of(list(floor.values())) if floor else np.full(own[0].shape, np.nan) for floor in floors]
    differences = np.stack([ours - mean for ours, mean in zip(own, means, strict=True)])
    if len(own) > 1 or not floors[0]:
        return differences, np.full(1, np.nan)
    return differences, np.array([statistics.defined_mean(floor - means[0]) for floor in floors[0].values()])


def retrained_means(own: dict[str, float], others: dict[str, float]) -> np.ndarray:
    """Return how far networks that differ in the seed alone lie from those that are compared with: float64 (r,).

    Args:
        own: by identity, the means of the networks that others are compared with.
        others: by identity, those of the networks that differ from them in the seed alone.
    """
    if len(own) == 1:
        only = next(iter(own.values()))
        return np.array([value - only for name, value in others.items() if name not in own] or [np.nan])
    every = np.array(list((others | own).values()))
    return every - statistics.defined_mean(np.array(list(own.values())))
