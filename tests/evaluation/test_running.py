"""From jobs to results, by a comparison of small untrained networks."""

import numpy as np

from saq_eval.evaluation.clock import Clock
from saq_eval.evaluation.planning import plan_jobs
from saq_eval.evaluation.running import choose_targets, run
from tests.evaluation.made import (
    AGAIN,
    FP32,
    METHODS,
    OTHER,
    RETRAINED,
    SUBJECTS,
    UNTRAINED,
    W2A2,
    make_settings,
    make_shared,
)


def test_all_that_was_planned_is_there(done, digits):
    jobs = [job for wave in plan_jobs(SUBJECTS, done.settings, "label") for job in wave]
    assert set(done.cells) == {cell for job in jobs for cell in job.cells}
    assert set(done.explained) == {(job.subject, job.method) for job in jobs}
    assert [key for key, maps in done.explained.items() if not maps.computed] == [(AGAIN, m) for m in METHODS]
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
    other = run(SUBJECTS, shared, jobs, policy="label", workers=2, clock=Clock(), on_job=lambda job: None)
    assert other.cells.keys() == done.cells.keys()
    for cell, value in done.cells.items():
        np.testing.assert_array_equal(other.cells[cell].scores, value.scores)
    assert other.surrogate_gaps == done.surrogate_gaps


def test_which_classes_maps_explain():
    labels, predictions = (
        np.array([1]),
        {"fp32": np.array([2]), "w2a2": np.array([3]), "fp32 (random weights)": np.array([4])},
    )

    def chosen(subject, policy):
        return choose_targets(subject, policy, labels, predictions).item()

    assert {chosen(s, "label") for s in SUBJECTS} == {1}
    assert [chosen(s, "predicted") for s in (FP32, W2A2, UNTRAINED, RETRAINED)] == [2, 3, 2, 2]
    assert [chosen(s, "baseline") for s in (FP32, W2A2, UNTRAINED, RETRAINED)] == [2, 2, 2, 2]
