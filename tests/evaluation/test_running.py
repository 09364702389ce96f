"""From jobs to results, by a comparison of small untrained networks."""

import copy

import numpy as np
import pytest
import torch

from saq_eval import explain
from saq_eval.evaluation.cells import Cell
from saq_eval.evaluation.clock import Clock
from saq_eval.evaluation.planning import plan_jobs
from saq_eval.evaluation.running import choose_targets, run
from saq_eval.evaluation.store import read_maps
from saq_eval.metrics import find_scorer
from tests.evaluation.made import SUBJECTS, make_settings, make_shared

FP32, TUNED, W2A2, OTHER, UNTRAINED = SUBJECTS[:5]
AGAIN, RETRAINED = SUBJECTS[-2:]
METHODS = ["saliency", "occlusion"]


@pytest.fixture(scope="module")
def networks(small_cnn):
    def shaken(seed):
        network = copy.deepcopy(small_cnn)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter += 0.3 * parameter.std().nan_to_num() * torch.randn(parameter.shape, generator=generator)
        return network

    return {identity: shaken(seed) for seed, identity in enumerate("abcdefg")}


@pytest.fixture(scope="module")
def done(networks, digits, tmp_path_factory):
    settings = make_settings(digits, tmp_path_factory.mktemp("maps"))
    jobs = plan_jobs(SUBJECTS, settings, "label")
    shared, clock, finished = make_shared(digits, settings, networks), Clock(), []
    grid = run(SUBJECTS, shared, jobs, policy="label", workers=1, clock=clock, on_job=finished.append)
    assert finished == [job for wave in jobs for job in wave]
    assert {"prediction", "attribution", "localisation", "similarity"} <= clock.seconds.keys()
    return grid


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


def test_similarities_have_what_they_are_set_beside(done, networks, make_task):
    ssim = find_scorer("SSIM")
    sample = done.settings.sample

    def maps(identity, method="saliency"):
        return explain(
            method, networks[identity], sample.images, sample.labels, indices=sample.indices.tolist()
        ).numpy()

    def alike(a, b):
        return ssim.score(make_task(None, a, baseline_maps=b))[0]

    w2a2, baseline = done.cell(W2A2, "saliency", "SSIM"), done.cell(FP32, "saliency", "SSIM")
    np.testing.assert_allclose(w2a2.scores, alike(maps("c"), maps("a")), atol=1e-5)
    np.testing.assert_allclose(w2a2.to_fine_tuned, alike(maps("c"), maps("b")), atol=1e-5)
    np.testing.assert_allclose(baseline.scores, 1.0)
    np.testing.assert_allclose(baseline.controls["edges"], alike(maps("a", "edges"), maps("a")), atol=1e-5)
    assert baseline.to_fine_tuned is None and w2a2.controls == {} and set(baseline.controls) == {"random", "edges"}
    assert (w2a2.noise > w2a2.scores).all()  # invisible noise changes maps less than other weights do
    retrained = done.cell(RETRAINED, "saliency", "SSIM")
    assert retrained.noise is None and retrained.chance is None and w2a2.chance is not None
    np.testing.assert_allclose(retrained.scores, alike(maps("g"), maps("a")), atol=1e-5)


def test_maps_are_on_disk_under_the_networks_name(done, networks):
    sample = done.settings.sample
    expected = explain("saliency", networks["c"], sample.images, sample.labels)
    np.testing.assert_allclose(done.maps("w2a2", "saliency"), expected, atol=1e-6)
    assert read_maps(done.settings.maps / "fp32-s2" / "saliency.safetensors").shape == (6, 28, 28)


def test_a_retrained_network_that_is_a_model_has_that_models_scores(done):
    assert Cell(AGAIN, "saliency", "PointingGame") not in done.cells
    assert done.scores(AGAIN, "saliency", "PointingGame") is done.scores(OTHER, "saliency", "PointingGame")
    assert done.scores(AGAIN, "saliency", "SSIM") is not done.scores(OTHER, "saliency", "SSIM")
    assert done.retrained_of("fp32") == [AGAIN, RETRAINED] and done.retrained_of("fp32-s1") == []
    assert done.control_of("fp32") == UNTRAINED
    with pytest.raises(KeyError):
        done.cell(RETRAINED, "random", "SSIM")


def test_cells_come_in_the_order_of_networks_methods_and_metrics(done):
    keys = [(cell.subject, cell.method, cell.metric) for cell, _ in done.in_order("model")]
    methods, metrics = ["saliency", "occlusion", "random", "edges"], ["PointingGame", "SSIM"]
    order = [(SUBJECTS.index(s), methods.index(method), metrics.index(metric)) for s, method, metric in keys]
    assert order == sorted(order) and len(order) == 4 * 6
    assert {cell.subject.role for cell, _ in done.in_order("control", "retrained")} == {"control", "retrained"}


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
