"""Run the jobs of a comparison: first the logits, then the cells, wave by wave, in one or more processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from saq_eval.core.errors import SaqEvalError
from saq_eval.evaluation.cells import Cell, Explained, Scored
from saq_eval.evaluation.clock import Clock
from saq_eval.evaluation.executor import run_all
from saq_eval.evaluation.grid import Grid
from saq_eval.evaluation.plan import Target
from saq_eval.evaluation.planning import Jobs
from saq_eval.evaluation.scoring import logits_of, score, surrogate_gap
from saq_eval.evaluation.settings import Settings, Subject
from saq_eval.evaluation.shared import Shared, share

_AT_A_TIME = 1024  # about so many images are predicted between two steps of the progress bar


def run(
    subjects: list[Subject],
    shared: Shared,
    jobs: Jobs,
    *,
    measured: np.ndarray,
    policy: Target,
    workers: int,
    clock: Clock,
    on_step: Callable[[str, float], object],
) -> Grid:
    """Compute all cells of a comparison.

    Args:
        subjects: the networks, in order: models, controls, retrained networks.
        shared: the settings, networks and test set that jobs share.
        jobs: the jobs and holes; see `saq_eval.evaluation.planning.plan_jobs`.
        measured: int64, the positions of the test images that accuracy is measured on.
        policy: which classes the maps explain; see `target` in `saq_eval.compare`.
        workers: the number of processes.
        clock: the time of each stage, summed over processes, is added to it.
        on_step: called when a part of the work is done, with a description and the number of passes for each image of
            the sample.
    """
    settings = shared.settings
    nothing = {reason: Scored.nothing(len(settings.sample), reason) for reason in jobs.holes.values()}
    cells: dict[Cell, Scored] = {cell: nothing[reason] for cell, reason in jobs.holes.items()}
    explained: dict[tuple[Subject, str], Explained] = {}
    models = [subject for subject in subjects if subject.role == "model"]
    with share(shared, workers) as place:
        with clock("prediction"):
            predicted = _predict(subjects, shared, measured, place, workers, on_step)
        targets = _targets(subjects, policy, predicted.sample, settings)
        for wave in jobs.waves:
            calls = ((score, (place, job, [targets[s] for s in (job.subject, *job.others)])) for job in wave)
            for job, done in zip(wave, run_all(calls, workers), strict=True):
                cells |= {cell: done.scored[cell.metric] for cell in job.cells}
                if done.explained is not None:
                    explained[job.subject, job.method] = done.explained
                clock.add(done.seconds)
                on_step(f"{job.subject.name} {job.method}", job.passes)
        with clock("attribution"):
            gaps = run_all(((surrogate_gap, (place, model, targets[model])) for model in models), workers)
            surrogate_gaps = dict(zip((model.name for model in models), gaps, strict=True))
    return Grid(
        subjects,
        settings,
        cells,
        explained,
        predicted.logits,
        predicted.sample,
        targets,
        {s: predicted.accuracy[s.identity] for s in subjects if s.role != "control"},
        surrogate_gaps,
        shared.test_set.labels.numpy()[measured],
    )


@dataclass(frozen=True)
class _Predicted:
    """Predictions of networks.

    Attributes:
        logits: of models and controls by name, float32 (measured images, classes).
        sample: of models and controls by name, the predicted classes of the sample, int64 (n,).
        accuracy: of all networks by identity, on the measured images.
    """

    logits: dict[str, np.ndarray]
    sample: dict[str, np.ndarray]
    accuracy: dict[str, float]


def prediction_passes(measured: int, sample: int) -> float:
    """Return the cost of the predictions of one network, in passes for each image of the sample."""
    return measured / sample


def _predict(
    subjects: Sequence[Subject],
    shared: Shared,
    measured: np.ndarray,
    place: str,
    workers: int,
    on_step: Callable[[str, float], object],
) -> _Predicted:
    """Predict the classes of the measured images and of the sample, a part of the images at a time."""
    settings, labels = shared.settings, shared.test_set.labels.numpy()[measured]
    shown = {s.identity: s.name for s in subjects if s.role != "retrained"}
    names = {subject.identity: subject.name for subject in subjects} | shown
    size = settings.batch_size * max(1, _AT_A_TIME // settings.batch_size)  # whole batches
    parts = [measured[start : start + size] for start in range(0, len(measured), size)]
    found = run_all(((logits_of, (place, identity, part)) for identity in names for part in parts), workers)
    kept, right = {}, {}
    for identity, name in names.items():
        rows = []
        for part in parts:
            try:
                rows.append(next(found))
            except SaqEvalError as error:
                raise SaqEvalError(f"the network {name!r}: {error}") from error
            on_step(f"{name} predicts", prediction_passes(len(part), len(settings.sample)))
        logits = np.concatenate(rows)
        right[identity] = float((logits.argmax(axis=1) == labels).mean())
        if identity in shown:
            kept[identity] = logits
    by_identity = _of_sample(kept, shared, measured, place, workers)
    by_name = {s.name: s.identity for s in subjects if s.role != "retrained"}
    return _Predicted(
        {name: kept[identity] for name, identity in by_name.items()},
        {name: by_identity[identity].argmax(axis=1) for name, identity in by_name.items()},
        right,
    )


def _of_sample(
    logits: Mapping[str, np.ndarray], shared: Shared, measured: np.ndarray, place: str, workers: int
) -> dict[str, np.ndarray]:
    """Return the logits of the sample by identity, from the logits of the measured images if they hold the sample."""
    assert shared.settings.sample.positions is not None  # a sample always has them
    sample = shared.settings.sample.positions.numpy()
    where = {int(position): row for row, position in enumerate(measured)}
    if all(int(position) in where for position in sample):
        rows = [where[int(position)] for position in sample]
        return {identity: every[rows] for identity, every in logits.items()}
    found = run_all(((logits_of, (place, identity, sample)) for identity in logits), workers)
    return dict(zip(logits, found, strict=True))


def _targets(
    subjects: Sequence[Subject], policy: Target, predictions: Mapping[str, np.ndarray], settings: Settings
) -> dict[Subject, np.ndarray]:
    labels = settings.sample.labels.numpy()
    return {subject: choose_targets(subject, policy, labels, predictions) for subject in subjects}


def choose_targets(
    subject: Subject, policy: Target, labels: np.ndarray, predictions: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return the classes that a network's maps explain: int64 (n,).

    Args:
        policy: see `target` in `saq_eval.compare`.
        labels: int64 (n,).
        predictions: by model, the predicted classes, int64 (n,).
    """
    if policy == "label":
        return labels
    if policy == "predicted" and subject.role == "model":
        return predictions[subject.name]
    # A control or retrained network explains the classes that its baseline predicts, so that their maps can be compared.
    return predictions[subject.baseline]
