"""The jobs of a comparison: logits, maps and scores of one network. They depend only on arguments and on maps on disk."""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from saq_eval.attribution import CONTROLS, Explainer, explain, find_explainer
from saq_eval.core.errors import Unsupported
from saq_eval.core.memory import give_back
from saq_eval.core.randomness import derived_seed
from saq_eval.evaluation.cells import Explained, Scored
from saq_eval.evaluation.clock import Clock
from saq_eval.evaluation.planning import Job
from saq_eval.evaluation.settings import Settings, Subject
from saq_eval.evaluation.shared import Shared, shared_at
from saq_eval.evaluation.store import MapKey, MapStore, checksum
from saq_eval.metrics import Scorer, Task, is_degenerate

INPUT_NOISE = 0.01  # standard deviation for pixels in [0, 1]; invisible, about 2.5 of 255 steps


def logits_of(shared: str, identity: str, positions: np.ndarray) -> np.ndarray:
    """Return a network's logits for images of the test set, float32 (images, classes), read batch by batch.

    Args:
        shared: the folder that `share` yields, here and in the functions below.
        identity: the network's identity.
        positions: int64 (images,), positions in the test set.
    """
    work = shared_at(shared)
    return work.logits(identity, work.test_set.batches(work.settings.batch_size, positions))


@dataclass(frozen=True, eq=False)
class Done:
    """A job's results: facts about the maps, if there are maps, the cells' values by metric, and the seconds of each stage."""

    explained: Explained | None
    scored: dict[str, Scored]
    seconds: dict[str, float]


def score(shared: str, job: Job, targets: Sequence[np.ndarray]) -> Done:
    """Compute the cells of a job.

    Args:
        targets: arrays int64 (n,) of explained classes: first those of the network's maps, then those of each network in
            `job.others`, whose maps are on disk.
    """
    give_back()  # of the job before
    clock, work = Clock(), shared_at(shared)
    scorers = [work.settings.scorer[label] for label in job.metrics]
    similarities = [scorer.label for scorer in scorers if scorer.metric.category == "similarity"]
    maps = _Maps(work, job, targets)
    try:
        with clock("attribution"):
            own = maps.of(job.subject, targets[0])
    except Unsupported as error:
        nothing = Scored.nothing(len(work.settings.sample), error.reason)
        return Done(None, dict.fromkeys(job.metrics, nothing), clock.seconds)
    computed = maps.store.computed > 0
    with clock("attribution"):
        # The reference maps explain the same classes as `own`. Only similarities use them.
        others = [maps.reference(place) for place in range(len(job.others))] if similarities else [own]
    baseline = job.others[0]
    task = maps.task(job.subject, own, others[0])
    # An untrained network's maps may be faithful to that network itself. So a control's maps are scored as if they explained
    # the baseline. Metrics that compute further maps are an exception: for them the control itself explains the images.
    judged = task if job.subject.role != "control" else maps.task(baseline, own, others[0])
    scored = {}
    for scorer in scorers:
        given = task if "explanations" in scorer.metric.needs else judged
        try:
            with clock(scorer.metric.category):
                scores, curve = scorer.score(given)
                chance = scorer.chance(given) if job.subject.role != "retrained" else None
            scored[scorer.label] = Scored(scores, curve, chance)
        except Unsupported as error:
            scored[scorer.label] = Scored.nothing(len(own), error.reason)
    if similarities:
        beside = _beside(maps, clock, task, others[1:], [work.settings.scorer[label] for label in similarities])
        scored |= {label: replace(scored[label], **more) for label, more in beside.items()}
    return Done(Explained(is_degenerate(own), computed), scored, clock.seconds)


def _beside(
    maps: _Maps, clock: Clock, task: Task, fine_tuned: Sequence[np.ndarray], scorers: Sequence[Scorer]
) -> dict[str, dict[str, Any]]:
    """Return, for each similarity, the scores against other maps than the baseline's; see `Scored`."""
    subject, targets = maps.job.subject, maps.targets[0]
    beside: dict[str, dict[str, Any]] = {scorer.label: {} for scorer in scorers}
    for theirs in fine_tuned:
        with clock("similarity"):
            for scorer in scorers:
                beside[scorer.label]["to_fine_tuned"] = scorer.score(replace(task, baseline_maps=theirs))[0]
    if subject.is_baseline:
        by_control = {control: maps.of(subject, targets, method=control) for control in CONTROLS}
        with clock("similarity"):
            for scorer in scorers:
                beside[scorer.label]["controls"] = {
                    control: scorer.score(replace(task, maps=theirs))[0] for control, theirs in by_control.items()
                }
    if subject.role == "model":
        with clock("attribution"):
            noisy = maps.of(subject, targets, noisy=True)
        with clock("similarity"):
            for scorer in scorers:
                beside[scorer.label]["noise"] = scorer.score(replace(task, maps=noisy, baseline_maps=task.maps))[0]
    return beside


class _Maps:
    """Maps by a job's method."""

    def __init__(self, work: Shared, job: Job, targets: Sequence[np.ndarray]) -> None:
        self.work, self.job, self.targets = work, job, targets
        self.settings, self.store = work.settings, MapStore(work.settings.maps)
        self.explainer = work.settings.explainer[job.method]

    def of(
        self, subject: Subject, targets: np.ndarray, *, method: str | None = None, noisy: bool = False
    ) -> np.ndarray:
        """Return a network's maps, by default by the job's method."""
        explainer = self.explainer if method is None else self.settings.explainer[method]
        return maps_of(self.work, subject, explainer, targets, self.store, noisy=noisy)

    def reference(self, place: int) -> np.ndarray:
        """Return the maps of a network in `job.others`, for the classes that the job's maps explain."""
        other, own, theirs = self.job.others[place], self.targets[0], self.targets[1 + place]
        maps = self.of(other, theirs)
        differs = np.flatnonzero(own != theirs)
        if len(differs):
            maps = np.array(maps)
            sample = self.settings.sample
            pixels, indices = sample.images.numpy()[differs], sample.indices.numpy()[differs]
            network = self.work.network(other.identity)
            maps[differs] = _explain(self.explainer, self.settings, network, pixels, own[differs], indices)
        return maps

    def task(self, subject: Subject, maps: np.ndarray, baseline_maps: np.ndarray) -> Task:
        """Return the input of metrics: maps, scored as explanations of a network."""
        settings, sample = self.settings, self.settings.sample

        def again(network: nn.Module, images: np.ndarray, classes: np.ndarray, which: np.ndarray) -> np.ndarray:
            return _explain(self.explainer, settings, network, images, classes, which)

        return Task(
            network=self.work.network(subject.identity),
            images=sample.images.numpy(),
            labels=sample.labels.numpy(),
            targets=self.targets[0],
            masks=sample.masks().numpy(),
            maps=maps,
            baseline_maps=baseline_maps,
            indices=sample.indices.numpy(),
            seed=settings.seed,
            batch_size=settings.batch_size,
            device=settings.device,
            explain=again,
            shared=functools.partial(self._shared, subject.identity),
            compiled=self.work.compiled(subject.identity) if settings.compile else None,
        )

    def _shared(self, identity: str, key: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """Return what a network's cells share; see `Task.shared`. The images and the seed are the same for all cells."""
        return self.work.once(f"{identity} {self.targets[0].tobytes().hex()} {key}", compute)


def maps_of(
    work: Shared,
    subject: Subject,
    explainer: Explainer,
    targets: np.ndarray,
    store: MapStore,
    *,
    noisy: bool = False,
) -> np.ndarray:
    """Return a network's maps of the sample, from disk if they are there: float32 (n, h, w), memory-mapped.

    Args:
        targets: int64 (n,), the classes to explain.
        noisy: whether tiny noise is added to the images.
    """
    settings = work.settings
    pixels, indices = settings.sample.images.numpy(), settings.sample.indices.numpy()
    if noisy:
        pixels = _with_noise(pixels, indices, settings.seed)
    images = checksum(pixels, indices)
    if explainer.method.needs_background and settings.background is not None:
        images += "-" + checksum(settings.background.numpy())
    key = MapKey(
        settings.sample.name,
        subject.name,
        subject.identity,
        f"{explainer.label} under noise" if noisy else explainer.label,
        explainer.settings(settings.sample.image_shape),
        settings.seed,
        images,
        version=f"{_versions()} {explainer.method.code}",
    )
    network = work.network(subject.identity)
    return store.fetch(key, targets, indices, lambda: _explain(explainer, settings, network, pixels, targets, indices))


@functools.cache
def _versions() -> str:
    return " ".join(f"{name} {importlib.metadata.version(name)}" for name in ("saq_eval", "captum", "zennit", "torch"))


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
        indices=indices.tolist(),
        seed=settings.seed,
        batch_size=settings.batch_size,
        background=settings.background,
    ).numpy()


def _with_noise(images: np.ndarray, indices: np.ndarray, seed: int) -> np.ndarray:
    draws = [
        np.random.default_rng(derived_seed(seed, "input noise", int(index))).standard_normal(image.shape)
        for image, index in zip(images, indices, strict=True)
    ]
    return np.clip(images + INPUT_NOISE * np.stack(draws), 0.0, 1.0).astype(np.float32)


def surrogate_gap(shared: str, subject: Subject, targets: np.ndarray) -> float:
    """Return Σ|Σ map − Δ| / Σ|Δ|, where the outer sums are over images and the inner sum is over a map's pixels.

    The map is by integrated gradients from black, and Δ is the logit's change from black. If the value is 0, gradients
    account for the decision. Rounding has no useful gradient, so a quantized network uses a surrogate gradient. The value
    is the surrogate's relative error. It is NaN if no gradient reaches the image.

    Args:
        targets: int64 (n,), the explained classes.
    """
    work = shared_at(shared)
    settings = work.settings
    try:
        maps = maps_of(work, subject, find_explainer("integrated_gradients"), targets, MapStore(settings.maps))
    except Unsupported:
        return np.nan
    images = settings.sample.images
    every = torch.cat([images, torch.zeros_like(images[:1])])
    logits = work.logits(subject.identity, every.split(settings.batch_size))
    rise = (logits[:-1] - logits[-1:]).astype(np.float64)[np.arange(len(targets)), targets]
    missed = np.abs(np.asarray(maps, dtype=np.float64).sum(axis=(1, 2)) - rise).sum()
    return float(missed / np.abs(rise).sum()) if np.abs(rise).sum() > 0 else np.nan
