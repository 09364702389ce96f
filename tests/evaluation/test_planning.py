import pickle

import pytest

from saq_eval.evaluation.cells import Cell
from saq_eval.evaluation.planning import Job, Refusals, model_of, plan_jobs
from tests.evaluation.made import AGAIN, FP32, OTHER, RETRAINED, SUBJECTS, TUNED, UNTRAINED, W2A2, make_settings


@pytest.fixture
def jobs(digits, tmp_path):
    settings = make_settings(digits, tmp_path)
    return {policy: plan_jobs(SUBJECTS, settings, policy).waves for policy in ("label", "predicted")}


def test_maps_are_there_before_others_are_compared_with_them(jobs):
    done = set()
    for wave in jobs["label"]:
        for job in wave:
            assert all((other, job.method) in done for other in job.others if other not in (job.subject,))
        done |= {(job.subject, job.method) for job in wave}
    first = [(job.subject.name, job.method) for job in jobs["label"][0]]
    assert [method for _, method in first] == ["random", "edges"] * 2 + ["saliency", "occlusion"] * 2


def test_every_cell_is_planned_once(jobs):
    cells = [cell for wave in jobs["label"] for job in wave for cell in job.cells]
    assert len(set(cells)) == len(cells)
    # 4 models by 2 methods and 2 metrics, and by 2 controls and the metric that is no similarity; random weights; a
    # retrained network that is a model has only similarities of its own, the other both.
    assert len(cells) == 4 * (2 * 2 + 2) + 2 * 2 * 2 + 2 + 2 * 2
    assert Cell(AGAIN, "saliency", "SSIM") in cells and Cell(AGAIN, "saliency", "PointingGame") not in cells
    assert Cell(RETRAINED, "saliency", "PointingGame") in cells and Cell(FP32, "random", "SSIM") not in cells


def test_a_retrained_network_that_explains_other_classes_has_cells_of_its_own(jobs):
    cells = [cell for wave in jobs["predicted"] for job in wave for cell in job.cells]
    assert Cell(AGAIN, "saliency", "PointingGame") in cells


def test_what_a_network_is_compared_with(jobs):
    others = {job.subject: job.others for wave in jobs["label"] for job in wave}
    assert others[FP32] == (FP32,) and others[TUNED] == (FP32,) and others[W2A2] == (FP32, TUNED)
    assert others[OTHER] == (OTHER,) and others[AGAIN] == others[RETRAINED] == (FP32,)


def test_a_job_is_plain_data_that_carries_nothing_large(jobs):
    for wave in jobs["label"]:
        for job in wave:
            assert len(pickle.dumps(job)) < 1000 and pickle.loads(pickle.dumps(job)) == job


def test_dear_methods_take_more_passes(jobs):
    passes = {(job.subject, job.method): job.passes for wave in jobs["label"] for job in wave}
    assert passes[FP32, "occlusion"] > 5 * passes[FP32, "saliency"] > passes[AGAIN, "saliency"] > 0


@pytest.fixture
def refused(digits, tmp_path):
    def plan(methods=None, metrics=None):
        return plan_jobs(SUBJECTS, make_settings(digits, tmp_path), "label", Refusals(methods or {}, metrics or {}))

    return plan


def test_a_network_that_a_method_cannot_explain_leaves_holes_and_no_job(refused):
    plan = refused(methods={(W2A2.identity, "saliency"): "no gradient"})
    assert {cell: plan.holes[cell] for cell in plan.holes} == {
        Cell(W2A2, "saliency", metric): "no gradient" for metric in ("PointingGame", "SSIM")
    }
    jobs = {(job.subject, job.method) for wave in plan.waves for job in wave}
    assert (W2A2, "saliency") not in jobs and (W2A2, "occlusion") in jobs and (FP32, "saliency") in jobs


def test_without_its_baselines_maps_a_network_has_all_scores_but_similarities(refused):
    plan = refused(methods={(FP32.identity, "saliency"): "no gradient"})
    job = next(job for wave in plan.waves for job in wave if (job.subject, job.method) == (W2A2, "saliency"))
    assert job.metrics == ("PointingGame",)
    assert plan.holes[Cell(W2A2, "saliency", "SSIM")] == "fp32 has no maps to compare with: no gradient"
    assert plan.holes[Cell(FP32, "saliency", "PointingGame")] == "no gradient"
    assert Cell(OTHER, "saliency", "SSIM") not in plan.holes  # it is a baseline of its own


def test_a_metric_that_needs_what_a_network_lacks_leaves_holes_for_all_methods(refused):
    holes = refused(metrics={(FP32.identity, "PointingGame"): "no weights"}).holes
    # Maps of the network with random weights are scored as explanations of its baseline.
    assert {cell.subject for cell in holes} == {FP32, UNTRAINED} and set(holes.values()) == {"no weights"}
    assert {cell.method for cell in holes if cell.subject == FP32} == {"saliency", "occlusion", "random", "edges"}


def test_a_job_names_its_cells():
    job = Job(FP32, "saliency", ("SSIM", "AUC"), (FP32,), 3)
    assert job.cells == [Cell(FP32, "saliency", "SSIM"), Cell(FP32, "saliency", "AUC")]


def test_which_model_a_network_is():
    assert model_of(AGAIN, SUBJECTS) == OTHER and model_of(RETRAINED, SUBJECTS) is None
