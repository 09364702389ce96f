"""From jobs to results, by a comparison of small untrained networks."""

import numpy as np
from torch import nn

from saq_eval.attribution import CONTROLS
from saq_eval.evaluation.planning import Refusals, plan_jobs
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
    # The same network in another role has the same maps, and those of controls are the same for all networks.
    read = {key for key, maps in done.explained.items() if not maps.computed}
    controls = {(s, control) for s in SUBJECTS if s.role == "model" for control in CONTROLS} - {
        (FP32, c) for c in CONTROLS
    }
    assert read == {(AGAIN, method) for method in METHODS} | controls
    assert all(value.scores.shape == (6,) and value.scores.dtype == np.float64 for value in done.cells.values())
    assert set(done.surrogate_gaps) == {s.name for s in SUBJECTS if s.role == "model"}
    assert set(done.logits) == {s.name for s in SUBJECTS if s.role != "retrained"} == set(done.predictions)
    for subject, accuracy in done.accuracies.items():
        name = OTHER.name if subject == AGAIN else subject.name
        if name in done.logits:
            assert accuracy == (done.logits[name].argmax(1) == digits.labels[:20].numpy()).mean()
    assert {s for s in SUBJECTS if s.role != "control"} == set(done.accuracies)


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
