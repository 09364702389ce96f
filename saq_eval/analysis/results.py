"""The input of all tables and findings: the scores of all cells, the networks, and the measure of interpretability."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from saq_eval.analysis import statistics
from saq_eval.analysis.groups import Group, group_over_seeds
from saq_eval.analysis.interpretability import Composite
from saq_eval.attribution import CONTROLS
from saq_eval.evaluation.grid import Grid
from saq_eval.evaluation.settings import Subject
from saq_eval.metrics import Metric, Scorer
from saq_eval.networks.network import Network


@dataclass(frozen=True, eq=False)
class Results:
    """A filled grid, its networks, and the measures to analyse it by.

    Attributes:
        grid: the cells.
        networks: by name, the models and the networks with random weights.
        composite: the measure of interpretability.
        margin: see `saq_eval.analysis.statistics`.
    """

    grid: Grid
    networks: Mapping[str, Network]
    composite: Composite
    margin: float

    @cached_property
    def models(self) -> dict[str, Network]:
        """The models by name, without networks with random weights."""
        return {s.name: self.networks[s.name] for s in self.grid.subjects if s.role == "model"}

    @cached_property
    def groups(self) -> list[Group]:
        """The models in groups; the networks of a group differ only in the seed."""
        return group_over_seeds(self.grid, self.models)

    @property
    def dataset(self) -> str:
        """The name of the data set."""
        return self.grid.settings.sample.name

    @cached_property
    def scorers(self) -> dict[str, Scorer]:
        """The metrics with their parameters, by label."""
        return {scorer.label: scorer for scorer in self.grid.settings.scorers}

    @property
    def methods(self) -> list[str]:
        """The methods' labels, without controls."""
        return [explainer.label for explainer in self.grid.settings.explainers]

    @cached_property
    def mask(self) -> str:
        """The kind of mask that localisation was scored by; see `Dataset.mask_record`."""
        return self.grid.settings.sample.mask_record()["kind"]

    def metric(self, label: str) -> Metric:
        """Return the metric with a label."""
        return self.scorers[label].metric

    def is_similarity(self, label: str) -> bool:
        """Whether a metric compares a map with the baseline's."""
        return self.metric(label).category == "similarity"

    def mask_of(self, label: str) -> str:
        """Return the kind of mask that a metric was scored by; "" for a metric that needs no mask."""
        return self.mask if "masks" in self.metric(label).needs else ""

    # Columns that identify a row.

    def about(self, subject: Subject) -> dict[str, Any]:
        """Return the columns that identify a row's network."""
        network = self.networks[subject.name]
        return {
            "dataset": self.dataset,
            "model": network.name,
            "scheme": network.scheme,
            "weight_bits": network.weight_bits,
            "activation_bits": network.activation_bits,
            "training": network.training,
            "seed": np.nan if network.seed is None else network.seed,
            "role": subject.role,
        }

    def about_cell(self, subject: Subject, method: str, metric: str) -> dict[str, Any]:
        """Return the columns that identify a row's network, method and metric."""
        role = "control" if method in CONTROLS else subject.role
        about = self.about(subject) | {"role": role, "method": method, "metric": metric}
        return about | {"category": self.metric(metric).category}

    # References that scores are compared with.

    def baseline(self, subject: Subject) -> Subject:
        """Return the network that a network is compared with."""
        return self.grid.by_name[subject.baseline]

    def references(self, subject: Subject, method: str, metric: str) -> np.ndarray:
        """Return the scores that a network's scores are compared with: its baseline's, float64 (1, n).

        For a similarity, return the similarities of the retrained networks' maps to the baseline's, float64 (r, n), one
        row for each retrained network; a row of NaN if there is none.
        """
        if not self.is_similarity(metric):
            return self.grid.scores(self.baseline(subject), method, metric)[None]
        floors = list(self.floors(subject.baseline, method, metric).values())
        return np.stack(floors) if floors else np.full((1, len(self.grid.settings.sample)), np.nan)

    def floors(self, baseline: str, method: str, metric: str) -> dict[str, np.ndarray]:
        """Return the similarities of the maps of a baseline's retrained networks to the baseline's, by identity."""
        return {s.identity: self.grid.scores(s, method, metric) for s in self.grid.retrained_of(baseline)}

    def corrected(self, subject: Subject, method: str, metric: str, scores: np.ndarray) -> np.ndarray:
        """Return similarities rescaled to 0 at the chance level and 1 for identical maps; NaN if chance is unknown."""
        known = self.grid.cell(subject, method, metric).chance
        chance = statistics.defined_mean(np.array([np.nan]) if known is None else known)
        way = self.metric(metric).best - chance
        return (scores - chance) / way if way else np.full(len(scores), np.nan)
