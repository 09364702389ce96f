"""Small networks as the subjects of a comparison."""

from dataclasses import replace

import numpy as np
import torch

from saq_eval.attribution import find_explainers
from saq_eval.evaluation.clock import Clock
from saq_eval.evaluation.executors import Here, Processes
from saq_eval.evaluation.how import How
from saq_eval.evaluation.running import Work, run
from saq_eval.evaluation.settings import Settings, Subject
from saq_eval.evaluation.shared import Shared
from saq_eval.evaluation.store import make_store
from saq_eval.metrics import find_scorers

SUBJECTS = [
    Subject("fp32", "a", "fp32"),
    Subject("tuned", "b", "fp32", fine_tuned="tuned"),
    Subject("w2a2", "c", "fp32", fine_tuned="tuned"),
    Subject("fp32-s1", "d", "fp32-s1"),
    Subject("fp32 (random weights)", "e", "fp32", "control"),
    Subject("fp32-s1 (random weights)", "f", "fp32-s1", "control"),
    Subject("fp32-s1", "d", "fp32", "retrained"),
    Subject("fp32-s2", "g", "fp32", "retrained"),
]
FP32, TUNED, W2A2, OTHER, UNTRAINED = SUBJECTS[:5]
AGAIN, RETRAINED = SUBJECTS[-2:]
METHODS = ("saliency", "occlusion")


def make_settings(digits, store, methods=METHODS, metrics=("PointingGame", "SSIM"), **changes):
    fields = {"seed": 0, "batch_size": 8, "device": "cpu", "background": None}
    sample = replace(digits.subset(range(6)), positions=torch.arange(6))
    return Settings(
        sample, find_explainers(methods), find_scorers(metrics), **(fields | changes), store=make_store(store).folder
    )


def run_jobs(
    shared,
    jobs,
    clock=None,
    on_step=lambda description, passes: None,
    workers=1,
    measured=range(20),
    executor=None,
    fail_fast=False,
):
    """Compute all cells; accuracy is measured on the first 20 images of the test set."""
    with executor or (Processes(workers) if workers > 1 else Here()) as executor:
        work = Work(SUBJECTS, shared, jobs, np.array(measured), "label")
        return run(work, How(executor, fail_fast), clock or Clock(), on_step)


def make_shared(digits, settings, networks):
    return Shared(settings, networks, digits.subset(range(20)))
