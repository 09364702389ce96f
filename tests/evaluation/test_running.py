"""From jobs to results, by a comparison of small untrained networks."""

from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from saq_eval import SaqEvalError, explain
from saq_eval.attribution import CONTROLS
from saq_eval.evaluation.cells import Cell
from saq_eval.evaluation.clock import Clock
from saq_eval.evaluation.executors import Died, Here
from saq_eval.evaluation.how import How
from saq_eval.evaluation.planning import Job, Refusals, plan_jobs
from saq_eval.evaluation.running import Work, fill, part_of, run
from saq_eval.evaluation.scoring import Done
from tests.evaluation.made import (
    AGAIN,
    FP32,
    METHODS,
    OTHER,
    SUBJECTS,
    TUNED,
    W2A2,
    make_settings,
    make_shared,
    run_jobs,
)


def test_all_that_was_planned_is_there(done, digits):
    jobs = [job for wave in plan_jobs(SUBJECTS, done.settings, "label").waves for job in wave]
    assert set(done.cells) == {cell for job in jobs for cell in job.cells}
    assert set(done.explained) == {(job.subject, job.method) for job in jobs}
    # The same network in another role has the same maps, and edges are the same for all networks.
    read = {key for key, maps in done.explained.items() if not maps.computed}
    edges = {(s, "edges") for s in SUBJECTS if s.role == "model"} - {(FP32, "edges")}
    assert read == {(AGAIN, method) for method in METHODS} | edges
    assert all(value.scores.shape == (6,) and value.scores.dtype == np.float64 for value in done.cells.values())
    assert set(done.surrogate_gaps) == {s.name for s in SUBJECTS if s.role == "model"}
    assert set(done.logits) == {s.name for s in SUBJECTS if s.role != "retrained"} == set(done.predictions)
    for subject, accuracy in done.accuracies.items():
        name = OTHER.name if subject == AGAIN else subject.name
        if name in done.logits:
            assert accuracy == (done.logits[name].argmax(1) == digits.labels[:20].numpy()).mean()
    assert {s for s in SUBJECTS if s.role != "control"} == set(done.accuracies)


@pytest.mark.parametrize("method", CONTROLS)
def test_controls_maps_are_each_networks_own(method, done, networks):
    sample = done.settings.sample
    for subject in (FP32, W2A2):
        own = explain(
            method,
            networks[subject.identity],
            sample.images,
            sample.labels,
            seed=done.settings.seed,
            indices=sample.indices.tolist(),
        )
        np.testing.assert_array_equal(done.maps(subject.name, method), own)


def test_two_workers_give_the_same(done, networks, digits, tmp_path):
    settings = make_settings(digits, tmp_path)
    shared, jobs = make_shared(digits, settings, networks), plan_jobs(SUBJECTS, settings, "label")
    other = run_jobs(shared, jobs, workers=2)
    assert other.cells.keys() == done.cells.keys()
    for cell, value in done.cells.items():
        np.testing.assert_array_equal(other.cells[cell].scores, value.scores)
    assert other.surrogate_gaps == done.surrogate_gaps


def test_a_hole_is_a_cell_without_scores_that_says_why(networks, digits, tmp_path):
    """Whether it was known before, or found when the network was explained."""
    settings = make_settings(digits, tmp_path, methods=("saliency",))
    refusals = Refusals({(TUNED.identity, "saliency"): "no gradient"})
    stopped = {**networks, W2A2.identity: nn.Sequential(networks[W2A2.identity], Rounds())}
    jobs = plan_jobs(SUBJECTS, settings, "label", refusals)
    grid = run_jobs(make_shared(digits, settings, stopped), jobs)
    for subject, reason in ((TUNED, "no gradient"), (W2A2, "no gradient reaches the image")):
        for metric in ("PointingGame", "SSIM"):
            cell = grid.cell(subject, "saliency", metric)
            assert cell.hole == reason and np.isnan(cell.scores).all()
        assert grid.degenerate(subject, "saliency") is None
        assert not np.isnan(grid.scores(subject, "edges", "PointingGame")).all()
    assert not grid.cell(FP32, "saliency", "SSIM").hole and grid.degenerate(FP32, "saliency") is not None
    assert np.isnan(grid.surrogate_gaps["w2a2"]) and not np.isnan(grid.surrogate_gaps["fp32"])


class Rounds(nn.Module):
    def forward(self, logits):
        return logits.round(decimals=3)


@pytest.mark.parametrize("count", [1, 3, 7])
def test_parts_share_the_jobs_by_their_passes(done, count):
    jobs = [job for wave in plan_jobs(SUBJECTS, done.settings, "label").waves for job in wave]
    parts = [part_of(jobs, number, count) for number in range(1, count + 1)]
    assert sorted(map(id, jobs)) == sorted(id(job) for part in parts for job in part)
    loads = [sum(job.passes for job in part) for part in parts]
    assert max(loads) - min(loads) <= max(job.passes for job in jobs)


@pytest.mark.parametrize("policy", ["label", "predicted"])
def test_parts_leave_nothing_to_the_whole(networks, digits, tmp_path, policy):
    settings = make_settings(digits, tmp_path, methods=("saliency",))
    jobs = plan_jobs(SUBJECTS, settings, policy)

    def work():
        return Work(SUBJECTS, make_shared(digits, settings, networks), jobs, np.arange(20), policy)

    computed = 0
    for number in (2, 1, 3):
        part = How(Here(), part=(number, 3))
        progress = fill(work(), part, Clock(), lambda *_: None)
        computed += progress.computed
        assert not progress.failed
    grid = run(work(), How(Here()), Clock(), lambda *_: None)
    assert grid.computed == 0 and grid.stored == computed == sum(len(job.cells) for wave in jobs.waves for job in wave)


class Dies(Here):
    """Stands for processes: those that compute a metric die, before or after the maps are computed."""

    def __init__(self, metric, before_maps=False):
        self.metric, self.before_maps, self.calls = metric, before_maps, 0

    def run(self, calls, place):
        for number, call in enumerate(calls):
            self.calls += 1
            job = call.arguments[0]
            if not isinstance(job, Job) or self.metric not in job.metrics or job.subject != W2A2:
                yield number, call.function(place, *call.arguments)
                continue
            if not self.before_maps:
                before = job.metrics[: job.metrics.index(self.metric)]
                call.function(place, replace(job, metrics=before), *call.arguments[1:])
            yield number, Died("its process was killed")


@pytest.mark.parametrize("before_maps", [False, True])
def test_a_process_that_dies_costs_what_it_dies_of(done, networks, digits, tmp_path, before_maps):
    settings = make_settings(digits, tmp_path)
    jobs = plan_jobs(SUBJECTS, settings, "label")
    grid = run_jobs(make_shared(digits, settings, networks), jobs, executor=Dies("SSIM", before_maps))
    lost = {"SSIM"} if not before_maps else {"SSIM", "PointingGame"}
    holes = {Cell(W2A2, method, metric) for method in METHODS for metric in lost}
    assert set(grid.failed) == holes and set(grid.failed.values()) == {"its process was killed"}
    for cell, value in done.cells.items():
        if cell in holes:
            assert grid.cells[cell].hole == "its process was killed" and np.isnan(grid.cells[cell].scores).all()
        else:
            np.testing.assert_array_equal(grid.cells[cell].scores, value.scores)
    assert (grid.degenerate(W2A2, "saliency") is None) == before_maps
    again = run_jobs(make_shared(digits, settings, networks), jobs)  # a failure is not kept
    assert not again.failed and again.computed == len(holes)


def test_the_first_failure_may_end_the_run(networks, digits, tmp_path):
    settings = make_settings(digits, tmp_path)
    jobs = plan_jobs(SUBJECTS, settings, "label")
    with pytest.raises(SaqEvalError, match="w2a2, saliency, SSIM: its process was killed"):
        run_jobs(make_shared(digits, settings, networks), jobs, executor=Dies("SSIM"), fail_fast=True)


class Elsewhere(Here):
    """Stands for the jobs of another process: the first time, they are claimed, and then in the store."""

    def __init__(self):
        self.claimed = set()

    def run(self, calls, place):
        for number, call in enumerate(calls):
            job = call.arguments[0]
            result = call.function(place, *call.arguments)
            if isinstance(job, Job) and job.subject == W2A2 and job.method not in self.claimed:
                self.claimed.add(job.method)
                result = Done(claimed=False)
            yield number, result


def test_what_another_process_computes_is_waited_for(done, networks, digits, tmp_path):
    settings = make_settings(digits, tmp_path)
    jobs = plan_jobs(SUBJECTS, settings, "label")
    grid = run_jobs(make_shared(digits, settings, networks), jobs, executor=Elsewhere())
    theirs = [cell for cell in done.cells if cell.subject == W2A2]
    assert grid.stored == len(theirs) and grid.computed == len(done.cells) - len(theirs)
    for cell in theirs:
        np.testing.assert_array_equal(grid.cells[cell].scores, done.cells[cell].scores)
