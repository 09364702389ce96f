"""The cells of a comparison: networks × methods, each scored by all metrics, computed by one or more processes.

Cells may be computed in any order, except that baselines come first: others' maps are compared with theirs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from saq_eval.attribution import CONTROLS, Explainer
from saq_eval.data import Dataset
from saq_eval.evaluation.cells import Cell, choose_targets, evaluate, logits_of, maps_of, surrogate_gap
from saq_eval.evaluation.clock import Clock
from saq_eval.evaluation.executor import run_all
from saq_eval.evaluation.plan import Target
from saq_eval.evaluation.settings import Role, Settings, Subject
from saq_eval.evaluation.store import MapStore


class Grid:
    """The cells of a comparison.

    Attributes:
        subjects: the networks, in order: models, controls, retrained networks.
        cells: by (subject, method).
        logits: by model and control, of the whole test set, float32 (test images, classes).
        predictions: by model and control, of the sample, int64 (n,).
        targets: by subject, int64 (n,), the classes explained.
        accuracies: by subject, models' and retrained networks' share of the test set that is right.
        surrogate_gaps: by model; see `surrogate_gap`.
        test_labels: of the whole test set, int64 (test images,).
    """

    def __init__(self, subjects: list[Subject], settings: Settings, test_set: Dataset, policy: Target) -> None:
        self.subjects, self.settings = subjects, settings
        self.by_name = {subject.name: subject for subject in subjects if subject.role != "retrained"}
        self.cells: dict[tuple[Subject, str], Cell] = {}
        self.logits: dict[str, np.ndarray] = {}
        self.predictions: dict[str, np.ndarray] = {}
        self.targets: dict[Subject, np.ndarray] = {}
        self.accuracies: dict[Subject, float] = {}
        self.surrogate_gaps: dict[str, float] = {}
        self.test_labels = test_set.labels.numpy()
        self._test_images, self._policy = test_set.images.numpy(), policy

    def plan(self) -> list[list[tuple[Subject, Explainer]]]:
        """Return the cells in three waves, each compared with the maps before: baselines, those trained on, all others."""
        cells = [(s, explainer) for s in self.subjects for explainer in self.settings.methods_of(s.role)]
        # Controls first: a baseline's maps are compared with them.
        first = sorted((c for c in cells if c[0].is_baseline), key=lambda c: c[1].label not in CONTROLS)
        second = [c for c in cells if c[0].is_fine_tuned]
        return [first, second, [c for c in cells if not c[0].is_baseline and not c[0].is_fine_tuned]]

    def cost(self, subject: Subject, explainer: Explainer) -> int:
        """Return about how many passes of the network a cell takes for each image, to tell how much is left to do."""
        attribution = explainer.passes * (2 if subject.role == "model" else 1)  # once more under noise
        return attribution + (1 if self._model_as(subject) else 10 * len(self.settings.scorers))

    def fill(self, workers: int, clock: Clock, on_cell: Callable[[Subject, Explainer], object]) -> None:
        """Compute all cells.

        Args:
            workers: processes.
            clock: gets the time that the stages took, added up over processes.
            on_cell: called with the network and the method when their cell is done.
        """
        settings = self.settings
        with clock("prediction"):
            identities = {subject.identity for subject in self.by_name.values()}
            predicting = [s for s in self.subjects if s.role != "retrained" or s.identity not in identities]
            jobs = (
                (logits_of, (subject.network, self._test_images, settings.device, settings.batch_size))
                for subject in predicting
            )
            right: dict[str, float] = {}
            for subject, logits in zip(predicting, run_all(jobs, workers), strict=True):
                right[subject.identity] = float((logits.argmax(axis=1) == self.test_labels).mean())
                if subject.role != "retrained":
                    self.logits[subject.name] = logits
                    self.predictions[subject.name] = logits[settings.sample.indices.numpy()].argmax(axis=1)
            self.accuracies = {s: right[s.identity] for s in self.subjects if s.role != "control"}
        labels = settings.sample.labels.numpy()
        self.targets = {
            subject: choose_targets(subject, self._policy, labels, self.predictions) for subject in self.subjects
        }
        for wave in self.plan():
            jobs = ((self._evaluation(subject), self._arguments(subject, explainer)) for subject, explainer in wave)
            for (subject, explainer), cell in zip(wave, run_all(jobs, workers), strict=True):
                self.cells[subject, explainer.label] = cell
                clock.add(cell.seconds)
                on_cell(subject, explainer)
        models = [subject for subject in self.subjects if subject.role == "model"]
        with clock("attribution"):
            jobs = ((surrogate_gap, (subject, self.targets[subject], settings)) for subject in models)
            for subject, gap in zip(models, run_all(jobs, workers), strict=True):
                self.surrogate_gaps[subject.name] = gap

    def _arguments(self, subject: Subject, explainer: Explainer) -> tuple:
        names = [subject.baseline]
        if subject.role == "model" and subject.fine_tuned and not subject.is_fine_tuned:
            names.append(subject.fine_tuned)
        others = tuple((self.by_name[name], self.targets[self.by_name[name]]) for name in names)
        return subject, self.targets[subject], others, explainer, self.settings

    def _evaluation(self, subject: Subject) -> Callable[..., Cell]:
        return partial(evaluate, only_similarity=self._model_as(subject) is not None)

    def _model_as(self, subject: Subject) -> Subject | None:
        """Return the model that a retrained network is, too, explained for the same classes; none where there is none."""
        if subject.role != "retrained":
            return None
        return next(
            (
                model
                for model in self.by_name.values()
                if model.role == "model"
                and model.identity == subject.identity
                and np.array_equal(self.targets.get(model), self.targets.get(subject))
            ),
            None,
        )

    def scores(self, subject: Subject, method: str, metric: str) -> np.ndarray:
        """Return a network's scores by a metric, float64 (n,); of similarities, those to its baseline's maps."""
        scores = self.cells[subject, method].scores
        return scores[metric] if metric in scores else self.cells[self._model_as(subject), method].scores[metric]

    def maps(self, name: str, explainer: Explainer) -> np.ndarray:
        """Return a model's or control's maps, float32 (n, h, w), memory-mapped."""
        subject = self.by_name[name]
        return maps_of(subject, explainer, self.targets[subject], self.settings, MapStore(self.settings.maps))

    def in_order(self, *roles: Role) -> Iterator[tuple[Subject, str, str, np.ndarray]]:
        """Yield subject, method, metric and scores, subjects, methods and metrics in their orders."""
        for subject in self.subjects:
            if subject.role in roles:
                labels = [explainer.label for explainer in self.settings.methods_of(subject.role)]
                for method, scorer in itertools.product(labels, self.settings.scorers):
                    scores = self.cells[subject, method].scores
                    if scorer.label in scores:
                        yield subject, method, scorer.label, scores[scorer.label]

    def control_of(self, baseline: str) -> Subject:
        """Return the network with random weights that goes with a baseline."""
        return next(s for s in self.subjects if s.role == "control" and s.baseline == baseline)

    def retrained_of(self, baseline: str) -> list[Subject]:
        """Return the networks that differ from a baseline in the seed alone; there may be none."""
        return [s for s in self.subjects if s.role == "retrained" and s.baseline == baseline]
