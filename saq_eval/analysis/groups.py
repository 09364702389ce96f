"""Groups of networks that differ only in the seed, and the steps in which they are compared with other networks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from saq_eval.analysis import statistics
from saq_eval.analysis.steps import StepName
from saq_eval.evaluation.grid import Grid
from saq_eval.evaluation.settings import Subject
from saq_eval.networks.network import Network


@dataclass(frozen=True)
class Step:
    """One step of a group: its networks, each with the network that it is compared with.

    Attributes:
        name: see `saq_eval.analysis.steps`.
        pairs: by seed, the network and the network that it is compared with.
    """

    name: StepName
    pairs: dict[int | None, tuple[Subject, Subject]]


@dataclass(frozen=True)
class Group:
    """Networks that differ from one another only in the seed. Baselines and other networks are in different groups.

    Attributes:
        name: the scheme's name. The architecture's name is put before it if there are several architectures. The first
            network's name is added if another group of the same training would have the same name.
        architecture, scheme, training: see `saq_eval.networks.network.Network`.
        from_baseline: the step from its baselines to its networks.
        members: the networks, by seed; a network whose seed is not known is alone, with the key `None`.
    """

    name: str
    architecture: str
    scheme: str
    training: str
    from_baseline: StepName
    members: dict[int | None, Subject]

    @property
    def first(self) -> str:
        """The name of the first network."""
        return next(iter(self.members.values())).name

    def steps(self, grid: Grid) -> list[Step]:
        """Return the steps in which its networks are compared; none if all of them are baselines."""
        compared = {seed: subject for seed, subject in self.members.items() if not subject.is_baseline}
        tuned = {seed: s for seed, s in compared.items() if s.fine_tuned and not s.is_fine_tuned}
        steps = [
            Step("bits", {seed: (s, grid.by_name[s.fine_tuned]) for seed, s in tuned.items()}),
            Step(self.from_baseline, {seed: (s, grid.by_name[s.baseline]) for seed, s in compared.items()}),
        ]
        return [step for step in steps if step.pairs]


def group_over_seeds(grid: Grid, networks: Mapping[str, Network]) -> list[Group]:
    """Return the models in groups, in order. A network trained elsewhere, or whose seed is taken, has its own group."""
    groups: dict[tuple, Group] = {}
    for name, known in networks.items():
        subject = grid.by_name[name]
        step = _step_from_baseline(subject, known, networks[subject.baseline])
        key: tuple = (known.kin, subject.is_baseline, step)
        if key in groups and (known.seed is None or known.seed in groups[key].members):
            key = (*key, name)
        empty = Group("", known.architecture, known.scheme, known.training, step, {})
        groups.setdefault(key, empty).members[known.seed] = subject
    return _named(list(groups.values()))


def _step_from_baseline(subject: Subject, network: Network, baseline: Network) -> StepName:
    """Return the step from a network's baseline to the network, as far as it is known how the network was made."""
    if subject.is_fine_tuned:
        return "further training"
    if None in (network.full_precision, network.further_trained, baseline.full_precision):
        return "change"
    only_quantized = not network.further_trained and not network.full_precision and network.parent == baseline.name
    return "bits" if only_quantized and baseline.full_precision else "whole"


def _named(groups: list[Group]) -> list[Group]:
    several = len({group.architecture for group in groups}) > 1
    named = [
        replace(g, name=(f"{g.architecture} {g.scheme}" if several else g.scheme) if g.scheme else g.first)
        for g in groups
    ]
    counts = Counter((group.name, group.training) for group in named)
    return [
        replace(group, name=f"{group.name} ({group.first})") if counts[group.name, group.training] > 1 else group
        for group in named
    ]


def step_scores(grid: Grid, step: StepName, subject: Subject, method: str, metric: str, similar: bool) -> np.ndarray:
    """Return a network's scores in a step, float64 (n,); similarities are to the maps of the step's other network."""
    cell = grid.cell(subject, method, metric)
    if not similar or step != "bits" or not subject.fine_tuned:
        return cell.scores
    return np.full(len(cell.scores), np.nan) if cell.to_fine_tuned is None else cell.to_fine_tuned


def beside_retraining(
    own: list[np.ndarray], floors: list[dict[str, np.ndarray]], names: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Compare networks' similarities with the similarities that retrained networks reach.

    Args:
        own: for each network, its similarities, float64 (n,).
        floors: for each network, the similarities of retrained networks' maps to its baseline's, by retrained network.
        names: the networks' baselines, with the names that are the keys of `floors`.

    Returns:
        The differences, float64 (networks, n); for three or more networks, jackknife pseudo-values. And for a single
        network, the mean differences of the retrained networks, float64 (r,); else one NaN.
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
    """Return the differences between retrained networks' means and the baselines' mean: float64 (r,).

    With several baselines, the differences of the baselines themselves are included.

    Args:
        own: by identity, the means of the baselines.
        others: by identity, the means of the networks that differ from a baseline only in the seed.
    """
    if len(own) == 1:
        only = next(iter(own.values()))
        return np.array([value - only for name, value in others.items() if name not in own] or [np.nan])
    every = np.array(list((others | own).values()))
    return every - statistics.defined_mean(np.array(list(own.values())))
