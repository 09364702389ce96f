"""The cells of a comparison: networks × methods × metrics over the same images, computed network by network."""

from __future__ import annotations

import importlib.metadata
import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from saq_eval import statistics
from saq_eval.attribution import CONTROLS, Explainer, explain, find_explainer
from saq_eval.attribution.store import MapKey, MapStore, checksum
from saq_eval.datasets import Dataset
from saq_eval.metrics import METRICS, Task, is_degenerate
from saq_eval.reporting.gallery import Gallery
from saq_eval.training.loop import accuracy, predict

Target = Literal["label", "predicted", "baseline"]
# The map whose sum misses the logit's change by the surrogate gap; see `Grid.surrogate_gaps`.
_PATH = find_explainer("integrated_gradients")


@dataclass(frozen=True)
class Subject:
    """A network that takes part.

    Attributes:
        name: unique in the comparison.
        network: float32 pixels (n, c, h, w) in [0, 1] -> logits (n, classes), in eval mode.
        weights: what tells its weights from others': a hash, or the seed that they were drawn from.
        baseline: the name of the network that it is compared with; its own, if it is one.
        role: "model", or "control" for a network with random weights.
    """

    name: str
    network: nn.Module
    weights: str
    baseline: str
    role: Literal["model", "control"] = "model"

    @property
    def is_baseline(self) -> bool:
        """Whether others are compared with it."""
        return self.name == self.baseline


@dataclass(frozen=True)
class Settings:
    """What is done to every network.

    Attributes:
        explainers: the attribution methods with their parameters, without controls, which are added.
        metrics: names of metrics.
        target: the class explained; see `saq_eval.compare`.
        seed: of methods and metrics that draw.
        batch_size: images that may pass a network at once.
        device: where networks compute.
        background: float32 (k, c, h, w), typical images; none if no method needs them.
    """

    explainers: list[Explainer]
    metrics: list[str]
    target: Target
    seed: int
    batch_size: int
    device: torch.device
    background: Tensor | None

    def methods_of(self, role: str) -> list[Explainer]:
        """Return the methods that explain a network: for models also the controls, which come last."""
        return self.explainers + ([find_explainer(name) for name in CONTROLS] if role == "model" else [])


@dataclass
class Clock:
    """Adds up wall time by stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + time.perf_counter() - start, 3)


class Grid:
    """The cells of a comparison, filled network by network.

    Attributes:
        sample: the images.
        settings: what is done to every network.
        subjects: by name, in the order of evaluation.
        cells: by (network, method, metric), the images' scores, float64 (n,). The maps of a network with random
            weights are scored as explanations of its baseline. The methods `random` and `edges` have no
            similarity of their own: see `controls`.
        chances: by (network, method, metric), the mean chance level, where the metric has one.
        controls: by (baseline, method, similarity metric, control), how alike the control's maps of the
            baseline network are to the method's.
        predictions, targets: by network, the predicted and the explained classes, int64 (n,).
        accuracies: by model, on the whole test set, 0 to 1.
        degenerate: by (network, method), the number of degenerate maps.
        surrogate_gaps: by model, Σ|Σ map − Δ| / Σ|Δ| over images, where the map is integrated gradients'
            from black and Δ the logit's change from black. Where it is 0, gradients account for the decision.
            Rounding has no useful gradient: a quantized network's is a surrogate's, and misses by this much.
        gallery: the maps to show.
        store: where maps are.
    """

    def __init__(self, sample: Dataset, test_set: Dataset, settings: Settings, store: MapStore) -> None:
        self.sample, self.settings, self.store = sample, settings, store
        self.subjects: dict[str, Subject] = {}
        self.cells: dict[tuple[str, str, str], np.ndarray] = {}
        self.chances: dict[tuple[str, str, str], float] = {}
        self.controls: dict[tuple[str, str, str, str], np.ndarray] = {}
        self.predictions: dict[str, np.ndarray] = {}
        self.targets: dict[str, np.ndarray] = {}
        self.accuracies: dict[str, float] = {}
        self.degenerate: dict[tuple[str, str], int] = {}
        self.surrogate_gaps: dict[str, float] = {}
        self.gallery = Gallery.of(sample)
        self.indices = sample.indices.numpy()
        self._test_set = test_set
        self._masks = sample.masks().numpy()
        self._images = checksum(sample.images.numpy(), self.indices)
        self._version = " ".join(
            f"{package} {importlib.metadata.version(package)}" for package in ("saq_eval", "captum", "zennit", "torch")
        )
        self._baseline_maps: dict[tuple[str, str], np.ndarray] = {}

    def evaluate(self, subject: Subject, clock: Clock, bar: tqdm) -> None:
        """Fill a network's cells; its baseline, unless it is its own, comes first."""
        self.subjects[subject.name] = subject
        network = subject.network.to(self.settings.device)
        # What an untrained network sees, passed off as the baseline's explanation: faithful to itself it may well be.
        judge = network if subject.role == "model" else self.subjects[subject.baseline].network.to(self.settings.device)
        with clock("prediction"):
            if subject.role == "model":
                self.accuracies[subject.name] = accuracy(network, self._test_set)
            logits = predict(network, self.sample.images, self.settings.batch_size).cpu()
            self.predictions[subject.name] = logits.argmax(dim=1).numpy()
        self.targets[subject.name] = targets = self._choose_targets(subject)
        explainers = self.settings.methods_of(subject.role)
        path_maps = None
        # Controls first: a baseline's maps are compared with them.
        for explainer in sorted(explainers, key=lambda explainer: explainer.label not in CONTROLS):
            method = explainer.label
            bar.set_description(f"{subject.name} {method}")
            with clock("attribution"):
                maps = self._maps(subject, explainer)
                self.gallery.add(subject.name, method, maps)
                self.degenerate[subject.name, method] = int(is_degenerate(maps).sum())
                if subject.is_baseline:
                    self._baseline_maps[subject.name, method] = maps
                baseline_maps = self._baseline_maps_for(subject, explainer)
            self._score(subject, method, self._task(judge, targets, maps, baseline_maps), clock)
            bar.update()
            if explainer.label == _PATH.label:
                path_maps = maps
        if subject.role == "model":
            with clock("attribution"):
                path_maps = self._maps(subject, _PATH) if path_maps is None else path_maps
                self.surrogate_gaps[subject.name] = self._surrogate_gap(network, path_maps, logits, targets)
        network.cpu()
        judge.cpu()

    def _choose_targets(self, subject: Subject) -> np.ndarray:
        if self.settings.target == "label":
            return self.sample.labels.numpy()
        if self.settings.target == "predicted" and subject.role == "model":
            return self.predictions[subject.name]
        # A control explains what its baseline does: it is to be told from it, not to be right.
        return self.predictions[subject.baseline]

    def _maps(self, subject: Subject, explainer: Explainer) -> np.ndarray:
        images = self._images
        if explainer.method.needs_background:
            images += "-" + checksum(self.settings.background.numpy())
        key = MapKey(
            self.sample.name,
            subject.name,
            subject.weights,
            explainer.label,
            explainer.parameters,
            self.settings.seed,
            images,
            self._version,
        )
        targets = self.targets[subject.name]
        return self.store.fetch(
            key, targets, self.indices, lambda: self._explain(subject, explainer, targets, np.arange(len(targets)))
        )

    def _explain(
        self, subject: Subject, explainer: Explainer, targets: np.ndarray, positions: np.ndarray
    ) -> np.ndarray:
        device = self.settings.device
        return explain(
            explainer,
            subject.network.to(device),
            self.sample.images[positions].to(device),
            torch.from_numpy(targets[positions]).to(device),
            indices=self.indices[positions],
            seed=self.settings.seed,
            batch_size=self.settings.batch_size,
            background=self.settings.background,
        ).numpy()

    def _baseline_maps_for(self, subject: Subject, explainer: Explainer) -> np.ndarray:
        """Return the baseline's maps of the classes that a network's maps explain."""
        baseline = self.subjects[subject.baseline]
        maps = self._baseline_maps[baseline.name, explainer.label]
        targets = self.targets[subject.name]
        differs = np.flatnonzero(targets != self.targets[baseline.name])
        if len(differs):
            maps = np.array(maps)
            maps[differs] = self._explain(baseline, explainer, targets, differs)
            if baseline.name != subject.name:
                baseline.network.cpu()
        return maps

    def _task(self, network: nn.Module, targets: np.ndarray, maps: np.ndarray, baseline_maps: np.ndarray) -> Task:
        return Task(
            network=network,
            images=self.sample.images.numpy(),
            targets=targets,
            masks=self._masks,
            maps=maps,
            baseline_maps=baseline_maps,
            indices=self.indices,
            seed=self.settings.seed,
            batch_size=self.settings.batch_size,
            device=self.settings.device.type,
        )

    def _score(self, subject: Subject, method: str, task: Task, clock: Clock) -> None:
        for name in self.settings.metrics:
            metric = METRICS[name]
            if metric.category == "similarity" and method in CONTROLS:
                continue
            with clock(metric.category):
                self.cells[subject.name, method, name] = metric.score(task)
                if metric.chance is not None:
                    self.chances[subject.name, method, name] = statistics.defined_mean(metric.chance(task))
                if metric.category == "similarity" and subject.is_baseline:
                    for control in CONTROLS:
                        maps = self._baseline_maps[subject.name, control]
                        self.controls[subject.name, method, name, control] = metric.score(replace(task, maps=maps))

    def _surrogate_gap(self, network: nn.Module, maps: np.ndarray, logits: Tensor, targets: np.ndarray) -> float:
        black = torch.zeros_like(self.sample.images[:1]).to(self.settings.device)
        with torch.no_grad():
            rise = (logits - network(black).cpu()).double().numpy()[np.arange(len(targets)), targets]
        missed = np.abs(np.asarray(maps, dtype=np.float64).sum(axis=(1, 2)) - rise).sum()
        return float(missed / np.abs(rise).sum()) if np.abs(rise).sum() > 0 else np.nan

    def release(self) -> None:
        """Let go of the maps on disk, whose folder may go; scores and gallery stay."""
        self._baseline_maps.clear()

    def in_order_of(self, subjects: list[str]) -> Iterator[tuple[tuple[str, str, str], np.ndarray]]:
        """Yield the cells, networks in the given order, methods and metrics in theirs."""
        for name in subjects:
            labels = [explainer.label for explainer in self.settings.methods_of(self.subjects[name].role)]
            for method, metric in itertools.product(labels, self.settings.metrics):
                if (name, method, metric) in self.cells:
                    yield (name, method, metric), self.cells[name, method, metric]

    def control_of(self, baseline: str) -> str:
        """Return the name of the network with random weights that goes with a baseline."""
        return next(s.name for s in self.subjects.values() if s.role == "control" and s.baseline == baseline)
