"""Run the jobs of a comparison: first the logits, then the cells, wave by wave, in one or more processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from saq_eval.evaluation.cells import Cell, Explained, Scored
from saq_eval.evaluation.clock import Clock
from saq_eval.evaluation.executor import run_all
from saq_eval.evaluation.grid import Grid, predicted
from saq_eval.evaluation.plan import Target
from saq_eval.evaluation.planning import Job
from saq_eval.evaluation.scoring import logits_of, score, surrogate_gap
from saq_eval.evaluation.settings import Settings, Subject
from saq_eval.evaluation.shared import Shared, share


def run(
    subjects: list[Subject],
    shared: Shared,
    jobs: Sequence[Sequence[Job]],
    *,
    policy: Target,
    workers: int,
    clock: Clock,
    on_job: Callable[[Job], object],
) -> Grid:
    """Compute all cells of a comparison.

    Args:
        subjects: the networks, in order: models, controls, retrained networks.
        shared: the settings, networks and test set that jobs share.
        jobs: the waves of jobs; see `saq_eval.evaluation.planning.plan_jobs`.
        policy: which classes the maps explain; see `target` in `saq_eval.compare`.
        workers: the number of processes.
        clock: the time of each stage, summed over processes, is added to it.
        on_job: called with each job when it is done.
    """
    cells: dict[Cell, Scored] = {}
    explained: dict[tuple[Subject, str], Explained] = {}
    settings = shared.settings
    models = [subject for subject in subjects if subject.role == "model"]
    with share(shared, workers) as place:
        with clock("prediction"):
            logits, right = _predict(subjects, shared.test_labels, place, workers)
        targets = _targets(subjects, policy, logits, settings)
        for wave in jobs:
            calls = ((score, (place, job, [targets[s] for s in (job.subject, *job.others)])) for job in wave)
            for job, done in zip(wave, run_all(calls, workers), strict=True):
                cells |= {cell: done.scored[cell.metric] for cell in job.cells}
                explained[job.subject, job.method] = done.explained
                clock.add(done.seconds)
                on_job(job)
        with clock("attribution"):
            gaps = run_all(((surrogate_gap, (place, model, targets[model])) for model in models), workers)
            surrogate_gaps = dict(zip((model.name for model in models), gaps, strict=True))
    accuracies = {s: right[s.identity] for s in subjects if s.role != "control"}
    return Grid(subjects, settings, cells, explained, logits, targets, accuracies, surrogate_gaps, shared.test_labels)


def _predict(
    subjects: Sequence[Subject], labels: np.ndarray, place: str, workers: int
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Return the logits of models and controls by name, and the test accuracy of all networks by identity."""
    shown = {subject.identity for subject in subjects if subject.role != "retrained"}
    identities = list(dict.fromkeys(subject.identity for subject in subjects))
    found = run_all(((logits_of, (place, identity)) for identity in identities), workers)
    kept, right = {}, {}
    for identity, logits in zip(identities, found, strict=True):
        right[identity] = float((logits.argmax(axis=1) == labels).mean())
        if identity in shown:
            kept[identity] = logits
    return {s.name: kept[s.identity] for s in subjects if s.role != "retrained"}, right


def _targets(
    subjects: Sequence[Subject], policy: Target, logits: Mapping[str, np.ndarray], settings: Settings
) -> dict[Subject, np.ndarray]:
    labels, predictions = settings.sample.labels.numpy(), predicted(logits, settings)
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
