"""The maps of a job, those that they are compared with, and the tasks by which metrics score them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from torch import nn

from saq_eval.attribution import CONTROLS, Explainer, explain
from saq_eval.core.randomness import derived_seed
from saq_eval.evaluation.planning import Job
from saq_eval.evaluation.settings import INPUT_NOISE, Settings, Subject
from saq_eval.evaluation.shared import Shared
from saq_eval.metrics import Scorer, Task


class JobMaps:
    """The maps of a job and those that they are compared with, and the tasks that metrics score them by."""

    def __init__(self, work: Shared, job: Job, targets: Sequence[np.ndarray]) -> None:
        self.work, self.job, self.targets = work, job, targets
        self.explainer = work.settings.explainer[job.method]

    @cached_property
    def own(self) -> tuple[np.ndarray, bool]:
        """The job's maps, and whether they were computed now."""
        return maps_of(self.work, self.job.subject, self.explainer, self.targets[0])

    @cached_property
    def others(self) -> list[np.ndarray]:
        """The maps of the networks in `job.others`, for the classes that the job's maps explain."""
        return [self._reference(place) for place in range(len(self.job.others))]

    def _of(
        self, subject: Subject, targets: np.ndarray, method: str | None = None, *, noisy: bool = False
    ) -> np.ndarray:
        explainer = self.explainer if method is None else self.work.settings.explainer[method]
        return maps_of(self.work, subject, explainer, targets, noisy=noisy)[0]

    def _reference(self, place: int) -> np.ndarray:
        """Return the maps of a network in `job.others`, for the classes that the job's maps explain."""
        other, own, theirs = self.job.others[place], self.targets[0], self.targets[1 + place]
        maps = self._of(other, theirs)
        differs = np.flatnonzero(own != theirs)
        if len(differs):
            maps = np.array(maps)
            sample = self.work.settings.sample
            pixels, indices = sample.images.numpy()[differs], sample.indices.numpy()[differs]
            network = self.work.network(other.identity)
            maps[differs] = _explain(self.explainer, self.work.settings, network, pixels, own[differs], indices)
        return maps

    def task_of(self, scorer: Scorer) -> Task:
        """Return the task that a metric scores.

        For metrics that compute further maps, a control itself explains the images; for others, see `Job.judged`.
        """
        own = "explanations" in scorer.metric.needs
        if scorer.metric.category == "similarity":
            return self.fitting(self._compared)
        return self.fitting(self._own_task if own else self._judged_task)

    def fitting(self, task: Task) -> Task:
        """Return a task in which so many images pass at once as the settings say now; see `Shared.halve_batch`."""
        now = self.work.settings.batch_size
        return task if task.batch_size == now else replace(task, batch_size=now)

    @cached_property
    def _compared(self) -> Task:
        return replace(self._own_task, baseline_maps=self.others[0])

    @cached_property
    def _own_task(self) -> Task:
        return self._task(self.job.subject)

    @cached_property
    def _judged_task(self) -> Task:
        return self._own_task if self.job.judged is self.job.subject else self._task(self.job.judged)

    @cached_property
    def beside(self) -> dict[str, Task]:
        """The tasks of a similarity's further scores, by their names in `Scored`, those of controls by their own."""
        subject, targets, task = self.job.subject, self.targets[0], self._compared
        tasks: dict[str, Task] = {}
        for theirs in self.others[1:]:  # of the fine-tuned control, if there is one
            tasks["to_fine_tuned"] = replace(task, baseline_maps=theirs)
        if subject.is_baseline:
            tasks |= {control: replace(task, maps=self._of(subject, targets, control)) for control in CONTROLS}
        if subject.role == "model":
            noisy = self._of(subject, targets, noisy=True)
            tasks["noise"] = replace(task, maps=noisy, baseline_maps=task.maps)
        return tasks

    def _task(self, subject: Subject) -> Task:
        """Return the input of metrics: the job's maps, scored as explanations of a network."""
        settings, sample = self.work.settings, self.work.settings.sample

        def again(network: nn.Module, images: np.ndarray, classes: np.ndarray, which: np.ndarray) -> np.ndarray:
            return _explain(self.explainer, self.work.settings, network, images, classes, which)

        return Task(
            network=self.work.network(subject.identity),
            images=sample.images.numpy(),
            labels=sample.labels.numpy(),
            targets=self.targets[0],
            masks=sample.masks().numpy(),
            maps=self.own[0],
            baseline_maps=self.own[0],  # a similarity gets the baseline's; see `task_of`
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
    work: Shared, subject: Subject, explainer: Explainer, targets: np.ndarray, *, noisy: bool = False
) -> tuple[np.ndarray, bool]:
    """Return a network's maps of the sample, float32 (n, h, w), memory-mapped, and whether they were computed now.

    Args:
        targets: int64 (n,), the classes to explain.
        noisy: whether tiny noise is added to the images.

    Raises:
        Unsupported: if the method cannot explain the network.
        CannotWrite: if the store cannot be written.
    """
    settings = work.settings
    pixels, indices = settings.sample.images.numpy(), settings.sample.indices.numpy()
    if noisy:
        pixels = _with_noise(pixels, indices, settings.seed)

    def compute() -> dict[str, np.ndarray]:
        network = work.network(subject.identity)
        maps = _explain(explainer, settings, network, pixels, targets, indices)
        return {"maps": maps, "targets": targets, "indices": indices}

    key = work.keys.maps(subject.identity, explainer, targets, noisy=noisy)
    entry, computed = work.store.once(key, compute)
    return entry.arrays["maps"], computed


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
