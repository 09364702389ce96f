"""Run the jobs of a comparison: first the logits, then the cells, wave by wave, by an executor and through the store."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from saq_eval.core.errors import SaqEvalError
from saq_eval.evaluation.cells import Cell, Explained, Scored
from saq_eval.evaluation.clock import Clock
from saq_eval.evaluation.executors import Call, Died
from saq_eval.evaluation.grid import Grid
from saq_eval.evaluation.how import How, OnStep
from saq_eval.evaluation.maps import maps_of
from saq_eval.evaluation.plan import Target
from saq_eval.evaluation.planning import Job, Jobs
from saq_eval.evaluation.predicting import predict_all, targets_of
from saq_eval.evaluation.scoring import Done, score, surrogate_gap
from saq_eval.evaluation.settings import Subject
from saq_eval.evaluation.shared import Shared, share
from saq_eval.evaluation.store import Key, warn_of_damage
from saq_eval.evaluation.store.values import explained_of, explained_written, scored_of, written

_WAIT = 1.0  # seconds between two looks at what other processes compute


@dataclass
class Progress:
    """What is known of the cells of a comparison.

    Attributes:
        cells: the values of the cells that are finished, and of holes.
        explained: facts about maps; `None` for a network that the method cannot explain.
        failed: why cells have failed.
        computed: the number of cells that were computed in this run.
        stored: the number of cells that the store held.
        batch_size: the smallest number of images that passed at once.
    """

    cells: dict[Cell, Scored] = field(default_factory=dict)
    explained: dict[tuple[Subject, str], Explained | None] = field(default_factory=dict)
    failed: dict[Cell, str] = field(default_factory=dict)
    computed: int = 0
    stored: int = 0
    batch_size: int = 0


@dataclass(frozen=True, eq=False)
class Work:
    """What is computed.

    Attributes:
        subjects: the networks, in order: models, controls, retrained networks.
        shared: the settings, networks and test set that jobs share.
        jobs: the jobs and holes; see `saq_eval.evaluation.planning.plan_jobs`.
        measured: int64, the positions of the test images that accuracy is measured on.
        policy: which classes the maps explain; see `target` in `saq_eval.compare`.
    """

    subjects: list[Subject]
    shared: Shared
    jobs: Jobs
    measured: np.ndarray
    policy: Target


def run(work: Work, how: How, clock: Clock, on_step: OnStep) -> Grid:
    """Compute all cells of a comparison that the store does not hold.

    Args:
        clock: the time of each stage, summed over processes, is added to it.
        on_step: called when a part of the work is done, with a description and the number of passes for each image of
            the sample.

    Raises:
        CannotWrite: if the store cannot be written.
        SaqEvalError: for a network that cannot predict the test images, or the first failure if `how.fail_fast`.
    """
    subjects, shared, settings = work.subjects, work.shared, work.shared.settings
    models = [subject for subject in subjects if subject.role == "model"]
    with share(shared, apart=how.executor.apart) as place, how.executor.stops_on_error():
        with clock("prediction"):
            predicted = predict_all(subjects, shared, work.measured, place, how, on_step)
        targets = targets_of(subjects, work.policy, predicted.sample, settings)
        computing = _Computing(shared, place, how, targets, clock, on_step)
        computing.take_holes(work.jobs.holes)
        computing.all_of(work.jobs.waves)
        with clock("attribution"):
            gaps = computing.gaps(models)
    warn_of_damage(shared.store.take_damaged())
    progress = computing.progress
    return Grid(
        subjects,
        settings,
        progress.cells,
        {key: facts for key, facts in progress.explained.items() if facts is not None},
        predicted.logits,
        predicted.sample,
        targets,
        {s: predicted.accuracy[s.identity] for s in subjects if s.role != "control"},
        gaps,
        shared.test_set.labels.numpy()[work.measured],
        lambda subject, method: maps_of(shared, subject, settings.explainer[method], targets[subject])[0],
        failed=progress.failed,
        computed=progress.computed,
        stored=progress.stored,
        batch_size=min(progress.batch_size or settings.batch_size, settings.batch_size),
    )


def fill(work: Work, how: How, clock: Clock, on_step: OnStep) -> Progress:
    """Compute the cells of one part of a comparison (see `How.part`) into the store; the arguments are those of `run`."""
    assert how.part is not None
    number, count = how.part
    subjects, shared = work.subjects, work.shared
    jobs = part_of([job for wave in work.jobs.waves for job in wave], number, count)
    own = {job.subject for job in jobs} | {other for job in jobs for other in job.others}
    # If labels are explained, no predictions are needed here: the networks are shared among the parts like the jobs.
    identities = sorted({subject.identity for subject in subjects})[number - 1 :: count]
    predicting = [s for s in subjects if s.identity in identities or (work.policy != "label" and s in own)]
    with share(shared, apart=how.executor.apart) as place, how.executor.stops_on_error():
        with clock("prediction"):
            predicting = _with_baselines(predicting, subjects)
            predicted = predict_all(predicting, shared, work.measured, place, how, on_step)
        targets = targets_of([s for s in subjects if s in own], work.policy, predicted.sample, shared.settings)
        computing = _Computing(shared, place, how, targets, clock, on_step)
        computing.all_of([[job for job in wave if job in jobs] for wave in work.jobs.waves])
    warn_of_damage(shared.store.take_damaged())
    return computing.progress


def _with_baselines(some: Sequence[Subject], subjects: Sequence[Subject]) -> list[Subject]:
    """Return networks and their baselines, in order: other networks may explain what a baseline predicts."""
    names = {subject.baseline for subject in some}
    return [s for s in subjects if s in some or (s.role == "model" and s.name in names)]


def part_of(jobs: Sequence[Job], number: int, count: int) -> list[Job]:
    """Return the jobs of one of so many parts, from 1; the parts have about equally many passes."""
    loads = [0] * count
    mine = []
    for job in sorted(jobs, key=lambda job: -job.passes):  # a stable order: that of the plan among equals
        least = loads.index(min(loads))
        loads[least] += job.passes
        if least == number - 1:
            mine.append(job)
    return mine


class _Computing:
    """The computation of jobs: what the store holds is taken, the rest is computed and kept."""

    def __init__(
        self,
        shared: Shared,
        place: str,
        how: How,
        targets: Mapping[Subject, np.ndarray],
        clock: Clock,
        on_step: OnStep,
    ) -> None:
        self.shared, self.place, self.how, self.all_targets = shared, place, how, targets
        self.clock, self.on_step, self.progress = clock, on_step, Progress()

    def take_holes(self, holes: Mapping[Cell, str]) -> None:
        """Add the cells that are known not to be computable."""
        nothing = {reason: self._nothing(reason) for reason in set(holes.values())}
        self.progress.cells |= {cell: nothing[reason] for cell, reason in holes.items()}

    def _nothing(self, reason: str) -> Scored:
        return Scored.nothing(len(self.shared.settings.sample), reason)

    def _targets(self, job: Job) -> list[np.ndarray]:
        return [self.all_targets[subject] for subject in (job.subject, *job.others)]

    def all_of(self, waves: Sequence[Sequence[Job]]) -> None:
        """Compute jobs, wave by wave."""
        self.how.on_keys(self._keys([job for wave in waves for job in wave]))
        for wave in waves:
            self._wave(wave)

    def _keys(self, jobs: Sequence[Job]) -> list[Key]:
        """Return the keys of the entries that hold the cells of jobs, and their maps."""
        keys, settings = self.shared.keys, self.shared.settings
        every = []
        for job in jobs:
            targets, explainer = self._targets(job), settings.explainer[job.method]
            every += [keys.cell(job, metric, targets) for metric in job.metrics]
            every += [keys.explained(job, targets)]
            every += [keys.gap(job.subject, targets[0])] if job.subject.role == "model" else []
            noises = (False, True) if job.subject.role == "model" else (False,)
            every += [keys.maps(job.subject.identity, explainer, targets[0], noisy=noisy) for noisy in noises]
        return every

    def _wave(self, wave: Sequence[Job]) -> None:
        """Compute the jobs of a wave; those that another process has claimed are waited for."""
        left = [rest for job in wave if (rest := self._missing(job)) is not None]
        while left:
            claimed = self._pass_through(left)
            before, left = left, [rest for job in claimed if (rest := self._missing(job)) is not None]
            if len(left) == len(before):
                time.sleep(_WAIT)

    def _pass_through(self, jobs: Sequence[Job]) -> list[Job]:
        """Compute jobs; return those that other processes have claimed."""
        claimed, again = [], []
        calls = [Call(score, (job, self._targets(job)), _networks(job)) for job in jobs]
        for number, done in self.how.executor.run(calls, self.place):
            job = jobs[number]
            if isinstance(done, Died):
                again += self._after_death(job, done.reason)
            elif not done.claimed:
                claimed.append(job)
            else:
                self._take(job, done)
        return claimed + (self._pass_through(again) if again else [])

    def _missing(self, job: Job) -> Job | None:
        """Take the cells of a job that the store holds; return the job with the others, `None` if there are none."""
        store, keys, targets = self.shared.store, self.shared.keys, self._targets(job)
        left = []
        for metric in job.metrics:
            entry = store.get(keys.cell(job, metric, targets))
            if entry is None:
                left.append(metric)
            else:
                cell = Cell(job.subject, job.method, metric)
                self.progress.stored += cell not in self.progress.cells
                self.progress.cells[cell] = scored_of(entry)
        facts = store.get(keys.explained(job, targets))
        if facts is not None:
            self.progress.explained[job.subject, job.method] = explained_of(facts)
        if left or facts is None:
            return replace(job, metrics=tuple(left))
        self.on_step(f"{job.subject.name} {job.method}", job.passes)
        return None

    def _take(self, job: Job, done: Done) -> None:
        """Take a job's results, and put into the store what a process that does not see it has computed."""
        keys, targets, progress = self.shared.keys, self._targets(job), self.progress
        for metric, scored in done.scored.items():
            cell = Cell(job.subject, job.method, metric)
            progress.cells[cell] = scored
            if metric in done.failed:
                self._fail(cell, done.failed[metric])
            else:
                self.shared.keep(keys.cell(job, metric, targets), *written(scored))
        progress.computed += done.computed
        progress.stored += len(done.scored) - len(done.failed) - done.computed
        progress.explained[job.subject, job.method] = done.explained
        if done.tried:
            self.shared.keep(keys.explained(job, targets), *explained_written(done.explained))
        progress.batch_size = min(progress.batch_size or done.batch_size, done.batch_size)
        self.clock.add(done.seconds)
        warn_of_damage(done.damaged)
        self.on_step(f"{job.subject.name} {job.method}", job.passes)

    def _after_death(self, job: Job, reason: str) -> list[Job]:
        """Return what is tried again of a job whose process died: its cells one by one, unless its maps are at fault."""
        rest = self._missing(job)
        if rest is None:
            return []
        maps_are_there = (job.subject, job.method) in self.progress.explained
        if maps_are_there and len(rest.metrics) > 1:
            return [replace(rest, metrics=(metric,)) for metric in rest.metrics]
        for metric in rest.metrics:
            self.progress.cells[Cell(job.subject, job.method, metric)] = self._nothing(reason)
            self._fail(Cell(job.subject, job.method, metric), reason)
        self.on_step(f"{job.subject.name} {job.method}", job.passes)
        return []

    def _fail(self, cell: Cell, reason: str) -> None:
        said = f"{cell.subject.name}, {cell.method}, {cell.metric}: {reason}"
        if self.how.fail_fast:
            raise SaqEvalError(said)
        self.progress.failed[cell] = reason

    def gaps(self, models: Sequence[Subject]) -> dict[str, float]:
        """Return the models' surrogate gaps by name; NaN where it is undefined or has failed."""
        store = self.shared.store
        keys = {model: self.shared.keys.gap(model, self.all_targets[model]) for model in models}
        stored = {model: entry for model in models if (entry := store.get(keys[model])) is not None}
        gaps = {model.name: float(entry.arrays["gap"][0]) for model, entry in stored.items()}
        left = [model for model in models if model not in stored]
        calls = [Call(surrogate_gap, (model, self.all_targets[model]), (model.identity,)) for model in left]
        for number, found in self.how.executor.run(calls, self.place):
            model = left[number]
            gap, reason = (np.nan, found.reason) if isinstance(found, Died) else found
            gaps[model.name] = gap
            if reason:
                self._fail(Cell(model, "integrated_gradients", "surrogate gap"), reason)
            else:
                self.shared.keep(keys[model], {"gap": np.array([gap])})
        return {model.name: gaps[model.name] for model in models}


def _networks(job: Job) -> tuple[str, ...]:
    return tuple(dict.fromkeys(subject.identity for subject in (job.subject, *job.others)))
