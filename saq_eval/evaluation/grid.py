"""The cells of a comparison: networks × methods, each scored by all metrics, computed by one or more processes.

A cell depends on nothing but its arguments and the maps on disk, so cells may be computed in any order, except that
baselines come first: others' maps are compared with theirs.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, Literal

import joblib
import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from saq_eval.attribution import CONTROLS, Explainer, explain, find_explainer
from saq_eval.core.randomness import derived_seed, deterministic
from saq_eval.data import Dataset
from saq_eval.evaluation.store import MapKey, MapStore, checksum
from saq_eval.metrics import Scorer, Task, is_degenerate
from saq_eval.networks.inference import predict

Target = Literal["label", "predicted", "baseline"]
Role = Literal["model", "control", "retrained"]
INPUT_NOISE = 0.01  # standard deviation, of pixels in [0, 1]: invisible, two and a half of 255 steps


@dataclass(frozen=True)
class Subject:
    """A network that takes part.

    Attributes:
        name: unique among the subjects of its role and baseline.
        network: float32 pixels (n, c, h, w) in [0, 1] -> logits (n, classes), in eval mode.
        identity: what tells it from other networks, whatever their names: a hash.
        baseline: the name of the network that it is compared with; its own, if it is one.
        role: "model"; "control" for a network with random weights; "retrained" for a network that differs from
            its baseline in nothing but the training's seed.
        fine_tuned: the name of the model that was trained on from the same baseline by the same recipe in full precision,
            its own if it is one; "" where there is none.
    """

    name: str
    network: nn.Module
    identity: str
    baseline: str
    role: Role = "model"
    fine_tuned: str = ""

    @property
    def is_baseline(self) -> bool:
        """Whether others are compared with it."""
        return self.role == "model" and self.name == self.baseline

    @property
    def is_fine_tuned(self) -> bool:
        """Whether it shows what further training does by itself."""
        return self.role == "model" and self.name == self.fine_tuned


@dataclass(frozen=True)
class Settings:
    """What is done to every network.

    Attributes:
        sample: the images.
        explainers: the attribution methods with their parameters, without controls, which are added.
        scorers: the metrics with their parameters.
        seed: of methods and metrics that draw.
        batch_size: images that may pass a network at once.
        device: where networks compute, "cpu" or "cuda".
        background: float32 (k, c, h, w), typical images; none if no method needs them.
        maps: the folder of the maps.
    """

    sample: Dataset
    explainers: list[Explainer]
    scorers: list[Scorer]
    seed: int
    batch_size: int
    device: str
    background: Tensor | None
    maps: Path

    def methods_of(self, role: Role) -> list[Explainer]:
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
            self.add({stage: time.perf_counter() - start})

    def add(self, seconds: dict[str, float]) -> None:
        """Add what another clock has measured."""
        for stage, value in seconds.items():
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + value, 3)


@dataclass(frozen=True)
class Cell:
    """One network's maps by one method, scored. Keys are metrics' labels, arrays float64 (n,), one value per image.

    Attributes:
        scores: the scores. Maps of a network with random weights are scored as explanations of its baseline.
            The methods `random` and `edges` have no similarity; a retrained network that is a model, too, nothing else.
        curves: of the metrics that follow one, (n, steps).
        chances: what unrelated maps score, of metrics for which that is known.
        to_fine_tuned: of similarities, to the maps of the network that was trained on in full precision.
        noise: of similarities, the network's own maps under tiny input noise against its maps without.
        controls: of a baseline's similarities, by (metric, control), how alike the control's maps are to the method's.
        degenerate: bool (n,), which maps say nothing.
        computed: whether the maps were computed now, not taken from disk.
        seconds: by stage.
    """

    scores: dict[str, np.ndarray]
    curves: dict[str, np.ndarray]
    chances: dict[str, np.ndarray]
    to_fine_tuned: dict[str, np.ndarray]
    noise: dict[str, np.ndarray]
    controls: dict[tuple[str, str], np.ndarray]
    degenerate: np.ndarray
    computed: bool
    seconds: dict[str, float]


def run_all(jobs: Iterable[tuple[Callable[..., Any], tuple]], workers: int) -> Iterator[Any]:
    """Yield the results of jobs, (function, arguments), in order, each computed on one thread by one of the workers.

    One thread whatever the number of workers, since sums in floating point depend on how many threads share them.
    """
    calls = (joblib.delayed(_on_one_thread)(function, arguments) for function, arguments in jobs)
    with _interruptions_held_back() if workers > 1 else nullcontext():
        results = joblib.Parallel(
            n_jobs=workers, return_as="generator", max_nbytes="4M", initializer=_keep_bars_private
        )(calls)
    yield from results


@contextmanager
def _interruptions_held_back() -> Iterator[None]:
    # A process that starts meanwhile never gets a Ctrl-C, which a terminal sends to all: it would tell of it at length.
    # It reaches this process, at the latest when the workers have started, and this one ends them.
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # which would let it through again when it starts, in some versions of Python
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _keep_bars_private() -> None:
    # A worker's progress bars, Quantus' among them, would share a lock with other processes by a semaphore, of which
    # Python warns when the worker is killed, as it is at an interruption.
    tqdm.set_lock(threading.RLock())


def _on_one_thread(function: Callable[..., Any], arguments: tuple) -> Any:
    with deterministic(threads=1):
        return function(*arguments)


def logits_of(network: nn.Module, images: np.ndarray, device: str, batch_size: int) -> np.ndarray:
    """Return a network's logits of images, float32 (n, c, h, w) -> float32 (n, classes)."""
    return predict(network.to(device), torch.from_numpy(np.array(images)), batch_size).numpy()


def choose_targets(
    subject: Subject, policy: Target, labels: np.ndarray, predicted: dict[str, np.ndarray]
) -> np.ndarray:
    """Return the classes that a network's maps explain: int64 (n,).

    Args:
        policy: see `saq_eval.compare`.
        labels: int64 (n,).
        predicted: by model, the classes predicted, int64 (n,).
    """
    if policy == "label":
        return labels
    if policy == "predicted" and subject.role == "model":
        return predicted[subject.name]
    # A control explains what its baseline does: it is to be told from it, not to be right.
    return predicted[subject.baseline]


def maps_of(
    subject: Subject,
    explainer: Explainer,
    targets: np.ndarray,
    settings: Settings,
    store: MapStore,
    *,
    noisy: bool = False,
) -> np.ndarray:
    """Return a network's maps of the sample, from disk where they are: float32 (n, h, w), memory-mapped.

    Args:
        targets: int64 (n,), the classes explained.
        noisy: of the images under tiny noise.
    """
    pixels, indices = settings.sample.images.numpy(), settings.sample.indices.numpy()
    if noisy:
        pixels = _with_noise(pixels, indices, settings.seed)
    images = checksum(pixels, indices)
    if explainer.method.needs_background:
        images += "-" + checksum(settings.background.numpy())
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("saq_eval", "captum", "zennit", "torch")]
    version = " ".join([*versions, explainer.method.code])
    key = MapKey(
        settings.sample.name,
        subject.name,
        subject.identity,
        f"{explainer.label} under noise" if noisy else explainer.label,
        explainer.parameters,
        settings.seed,
        images,
        version,
    )
    return store.fetch(
        key, targets, indices, lambda: _explain(explainer, settings, subject.network, pixels, targets, indices)
    )


def _explain(
    explainer: Explainer,
    settings: Settings,
    network: nn.Module,
    images: np.ndarray,
    targets: np.ndarray,
    indices: np.ndarray,
) -> np.ndarray:
    return explain(
        explainer,
        network.to(settings.device),
        torch.from_numpy(np.ascontiguousarray(images)).to(settings.device),
        torch.from_numpy(np.ascontiguousarray(targets)).to(settings.device),
        indices=indices,
        seed=settings.seed,
        batch_size=settings.batch_size,
        background=settings.background,
    ).numpy()


def evaluate(
    subject: Subject,
    targets: np.ndarray,
    others: tuple[tuple[Subject, np.ndarray], ...],
    explainer: Explainer,
    settings: Settings,
    *,
    only_similarity: bool = False,
) -> Cell:
    """Compute one cell.

    Args:
        targets: int64 (n,), the classes that the network's maps explain.
        others: the networks that it is compared with, its baseline first (or itself), then, if there is one, the one that
            was trained on in full precision, each with the classes that its maps explain, which are on disk.
        only_similarity: leave the other metrics out.
    """
    clock, store, sample = Clock(), MapStore(settings.maps), settings.sample
    pixels, indices = sample.images.numpy(), sample.indices.numpy()
    masks = sample.masks().numpy()

    def again(network: nn.Module, images: np.ndarray, classes: np.ndarray, which: np.ndarray) -> np.ndarray:
        return _explain(explainer, settings, network, images, classes, which)

    def task(network: nn.Module, maps: np.ndarray, baseline_maps: np.ndarray) -> Task:
        return Task(
            network=network.to(settings.device),
            images=pixels,
            labels=sample.labels.numpy(),
            targets=targets,
            masks=masks,
            maps=maps,
            baseline_maps=baseline_maps,
            indices=indices,
            seed=settings.seed,
            batch_size=settings.batch_size,
            device=settings.device,
            explain=again,
        )

    is_control = explainer.label in CONTROLS
    similarities = [s for s in settings.scorers if s.metric.category == "similarity" and not is_control]
    rest = [s for s in settings.scorers if s.metric.category != "similarity" and not only_similarity]
    with clock("attribution"):
        maps = maps_of(subject, explainer, targets, settings, store)
        computed = store.computed > 0
        references = [
            _reference_maps(other, theirs, targets, explainer, settings, store)
            for other, theirs in (others if similarities else others[:1])
        ]
    baseline, baseline_maps = others[0][0], references[0]
    scores, curves, chances, to_fine_tuned, noise, controls = {}, {}, {}, {}, {}, {}
    # What an untrained network sees, passed off as the baseline's explanation: faithful to itself it may well be. But
    # where images are explained anew, it is the network that explained them that does it.
    own = task(subject.network, maps, baseline_maps)
    judged = own if subject.role != "control" else task(baseline.network, maps, baseline_maps)
    for scorer in (*rest, *similarities):
        given = own if "explanations" in scorer.metric.needs else judged
        with clock(scorer.metric.category):
            scores[scorer.label], curve = scorer.score(given)
            if curve is not None:
                curves[scorer.label] = curve
            chance = scorer.chance(given) if subject.role != "retrained" else None
            if chance is not None:
                chances[scorer.label] = chance
    for fine_tuned_maps in references[1:]:
        with clock("similarity"):
            for scorer in similarities:
                to_fine_tuned[scorer.label] = scorer.score(task(subject.network, maps, fine_tuned_maps))[0]
    if similarities and subject.is_baseline:
        for control in CONTROLS:
            control_maps = maps_of(subject, find_explainer(control), targets, settings, store)
            with clock("similarity"):
                for scorer in similarities:
                    controls[scorer.label, control] = scorer.score(replace(own, maps=control_maps))[0]
    if similarities and subject.role == "model":
        with clock("attribution"):
            noisy = maps_of(subject, explainer, targets, settings, store, noisy=True)
        with clock("similarity"):
            for scorer in similarities:
                noise[scorer.label] = scorer.score(task(subject.network, noisy, maps))[0]
    return Cell(scores, curves, chances, to_fine_tuned, noise, controls, is_degenerate(maps), computed, clock.seconds)


def _reference_maps(
    other: Subject,
    other_targets: np.ndarray,
    targets: np.ndarray,
    explainer: Explainer,
    settings: Settings,
    store: MapStore,
) -> np.ndarray:
    """Return another network's maps of the classes that a network's maps explain."""
    maps = maps_of(other, explainer, other_targets, settings, store)
    differs = np.flatnonzero(targets != other_targets)
    if len(differs):
        maps = np.array(maps)
        pixels, indices = settings.sample.images.numpy()[differs], settings.sample.indices.numpy()[differs]
        maps[differs] = _explain(explainer, settings, other.network, pixels, targets[differs], indices)
    return maps


def _with_noise(images: np.ndarray, indices: np.ndarray, seed: int) -> np.ndarray:
    draws = [
        np.random.default_rng(derived_seed(seed, "input noise", int(index))).standard_normal(image.shape)
        for image, index in zip(images, indices, strict=True)
    ]
    return np.clip(images + INPUT_NOISE * np.stack(draws), 0.0, 1.0).astype(np.float32)


def surrogate_gap(subject: Subject, targets: np.ndarray, settings: Settings) -> float:
    """Return Σ|Σ map − Δ| / Σ|Δ| over images, where the map is integrated gradients' from black and Δ the logit's change.

    Where it is 0, gradients account for the decision. Rounding has no useful gradient: a quantized network's is a
    surrogate's, and misses by this much.
    """
    maps = maps_of(subject, find_explainer("integrated_gradients"), targets, settings, MapStore(settings.maps))
    images = settings.sample.images.numpy()
    logits = logits_of(
        subject.network, np.concatenate([images, np.zeros_like(images[:1])]), settings.device, settings.batch_size
    )
    rise = (logits[:-1] - logits[-1:]).astype(np.float64)[np.arange(len(targets)), targets]
    missed = np.abs(np.asarray(maps, dtype=np.float64).sum(axis=(1, 2)) - rise).sum()
    return float(missed / np.abs(rise).sum()) if np.abs(rise).sum() > 0 else np.nan


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
