"""The results of a comparison: the cells' values and other measurements of the networks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from saq_eval.evaluation.cells import Cell, Explained, Scored
from saq_eval.evaluation.planning import model_of
from saq_eval.evaluation.settings import Role, Settings, Subject


@dataclass(frozen=True, eq=False)
class Grid:
    """All measurements of a comparison.

    Attributes:
        subjects: the networks, in order: models, controls, retrained networks.
        settings: the settings that hold for every network.
        cells: the cells' values.
        explained: facts about the maps, by network and method's label; nothing for a network that the method cannot
            explain.
        logits: for models and controls by name, the logits of the images that accuracy is measured on, float32 (measured
            images, classes).
        predictions: for models and controls by name, the predicted classes of the sample, int64 (n,).
        targets: by network, int64 (n,), the explained classes.
        accuracies: for models and retrained networks, the share of the measured images that they classify correctly.
        surrogate_gaps: by model; see `saq_eval.evaluation.scoring.surrogate_gap`.
        test_labels: int64 (measured images,), the labels of these images.
        find_maps: (network, method's label) -> its maps, float32 (n, h, w), memory-mapped.
        failed: why cells have failed; their values are holes.
        computed: the number of cells that were computed in this run.
        stored: the number of cells that the store held.
        batch_size: the smallest number of images that passed at once.
    """

    subjects: list[Subject]
    settings: Settings
    cells: Mapping[Cell, Scored]
    explained: Mapping[tuple[Subject, str], Explained]
    logits: Mapping[str, np.ndarray]
    predictions: Mapping[str, np.ndarray]
    targets: Mapping[Subject, np.ndarray]
    accuracies: Mapping[Subject, float]
    surrogate_gaps: Mapping[str, float]
    test_labels: np.ndarray
    find_maps: Callable[[Subject, str], np.ndarray]
    failed: Mapping[Cell, str] = field(default_factory=dict)
    computed: int = 0
    stored: int = 0
    batch_size: int = 0

    @cached_property
    def by_name(self) -> dict[str, Subject]:
        """Models and controls by name."""
        return {subject.name: subject for subject in self.subjects if subject.role != "retrained"}

    def cell(self, subject: Subject, method: str, metric: str) -> Scored:
        """Return a cell's value.

        A retrained network may also be a model. If both explain the same classes, the retrained network has cells only for
        similarities, and its other cells are those of the model.
        """
        own = Cell(subject, method, metric)
        model = subject if own in self.cells else model_of(subject, self.subjects)
        return self.cells[own if model is None else Cell(model, method, metric)]

    def scores(self, subject: Subject, method: str, metric: str) -> np.ndarray:
        """Return a network's scores by a metric, float64 (n,); a similarity is that to its baseline's maps."""
        return self.cell(subject, method, metric).scores

    def maps(self, name: str, method: str) -> np.ndarray:
        """Return a model's or control's maps, float32 (n, h, w), memory-mapped."""
        return self.find_maps(self.by_name[name], method)

    def in_order(self, *roles: Role) -> Iterator[tuple[Cell, Scored]]:
        """Yield the cells of networks with the given roles, in the order of networks, methods and metrics."""
        for subject in self.subjects:
            if subject.role in roles:
                methods = self.settings.methods_of(subject.role)
                for explainer, scorer in itertools.product(methods, self.settings.scorers):
                    cell = Cell(subject, explainer.label, scorer.label)
                    if cell in self.cells:
                        yield cell, self.cells[cell]

    def control_of(self, baseline: str) -> Subject | None:
        """Return a baseline's control, the network with random weights; `None` if it cannot be built."""
        return next((s for s in self.subjects if s.role == "control" and s.baseline == baseline), None)

    def degenerate(self, subject: Subject, method: str) -> np.ndarray | None:
        """Return which of a network's maps are degenerate, bool (n,); `None` if the method cannot explain it."""
        found = self.explained.get((subject, method))
        return None if found is None else found.degenerate

    def retrained_of(self, baseline: str) -> list[Subject]:
        """Return the networks that differ from a baseline only in the seed; there may be none."""
        return [s for s in self.subjects if s.role == "retrained" and s.baseline == baseline]
