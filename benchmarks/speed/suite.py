"""The suite's side: the comparison's own jobs without controls and floors, and the comparison as a whole."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.speed.answer import Answer
from benchmarks.speed.study import Study
from saq_eval.comparison import compare
from saq_eval.evaluation.executors.base import on_one_thread
from saq_eval.evaluation.maps import maps_of
from saq_eval.evaluation.plan import Plan
from saq_eval.evaluation.planning import Job
from saq_eval.evaluation.scoring import Done, score
from saq_eval.evaluation.settings import Settings, Subject
from saq_eval.evaluation.setup import Setup, set_up
from saq_eval.evaluation.shared import Shared, share
from saq_eval.evaluation.store import make_store
from saq_eval.metrics import Scorer, Task

CLASSES = 10  # of the made-up pictures


def plan_of(study: Study) -> Plan:
    """Return the comparison of a study, on one process."""
    common: dict[str, Any] = {
        "methods": study.methods,
        "metrics": study.metrics,
        "samples": study.images,
        "seed": study.seed,
    }
    how: dict[str, Any] = {"batch_size": study.batch_size, "device": study.device, "compile": study.compile}
    how["progress"] = False
    if study.side is None:
        return Plan(study.dataset, models=study.networks, **common, **how)
    (name,) = study.networks
    given: dict[str, Any] = {"models": {name: resnet(study.seed)}, "baseline": name}
    return Plan(pictures(study), mean=[0.5] * 3, std=[0.25] * 3, **given, **common, **how)


def resnet(seed: int) -> nn.Module:
    """Return a ResNet-18 with random weights, in eval mode."""
    from torchvision.models import resnet18

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return resnet18(num_classes=CLASSES).eval()


def pictures(study: Study) -> tuple[np.ndarray, np.ndarray]:
    """Return made-up colour pictures without even areas, float32 (n, 3, side, side) in [0, 1], and their labels."""
    assert study.side is not None
    generator = torch.Generator().manual_seed(study.seed)
    coarse = torch.rand(study.images, 3, 14, 14, generator=generator)
    smooth = F.interpolate(coarse, (study.side, study.side), mode="bicubic").clamp(0, 1)
    return smooth.numpy(), np.arange(study.images) % CLASSES


@contextmanager
def opened(study: Study) -> Iterator[Setup]:
    """Yield all that a study needs, looked up, loaded and checked."""
    with tempfile.TemporaryDirectory(prefix="saq_eval-benchmark-") as folder:
        yield set_up(plan_of(study), make_store(Path(folder)).folder)


@contextmanager
def suite(study: Study) -> Iterator[Callable[[], Answer]]:
    """Yield a function that computes the study's maps and scores by the jobs of a comparison."""
    with opened(study) as setup:
        answer = Answer()
        settings = replace(setup.settings, scorers=[_timed(scorer, answer) for scorer in setup.settings.scorers])
        shared = Shared(settings, setup.modules, setup.test_set)
        subjects = _subjects(setup, study)

        def work() -> Answer:
            with share(shared, apart=False) as place:
                for subject in subjects.values():
                    for explainer in settings.explainers:
                        job = _job(subject, subjects[subject.baseline], explainer.label, settings)
                        _run(job, place, answer, shared)
            return answer

        yield work


def _subjects(setup: Setup, study: Study) -> dict[str, Subject]:
    """Return the study's networks by name, in the role that a job scores without controls and floors.

    That of "retrained": `score` computes no chance level, noise floor or control for it, and compares it with its baseline.
    """
    models = {subject.name: subject for subject in setup.subjects if subject.role == "model"}
    return {name: replace(models[name], role="retrained", fine_tuned="") for name in study.networks}


def _job(subject: Subject, baseline: Subject, method: str, settings: Settings) -> Job:
    similar = [scorer.label for scorer in settings.scorers if scorer.metric.category == "similarity"]
    rest = [scorer.label for scorer in settings.scorers if scorer.metric.category != "similarity"]
    return Job(subject, method, (*rest, *similar), (baseline,), passes=0)


def _run(job: Job, place: str, answer: Answer, shared: Shared) -> None:
    """Compute a job's cells, and add them to the answer; what no metric takes is the time of the maps."""
    targets = shared.settings.sample.labels.numpy()
    before, start = sum(answer.stages.values()), time.process_time()
    done = on_one_thread(score, (place, job, [targets, targets]))
    took, metrics = time.process_time() - start, sum(answer.stages.values()) - before
    answer.add(f"maps by {job.method}", took - metrics)
    _keep(done, job, answer, shared)


def _keep(done: Done, job: Job, answer: Answer, shared: Shared) -> None:
    name, settings = job.subject.name, shared.settings
    explainer, targets = settings.explainer[job.method], settings.sample.labels.numpy()
    answer.maps[name, job.method], _ = maps_of(shared, job.subject, explainer, targets)
    answer.scores |= {(name, job.method, metric): done.scored[metric].scores for metric in job.metrics}


def _timed(scorer: Scorer, answer: Answer) -> Scorer:
    """Return a metric that adds its processor time to a stage with its label."""
    label, compute = scorer.label, scorer.metric.score

    def timed(task: Task, **parameters: object) -> np.ndarray:
        with answer.stage(label):
            return compute(task, **parameters)

    return replace(scorer, metric=replace(scorer.metric, score=timed))


@contextmanager
def comparison(study: Study) -> Iterator[Callable[[], Answer]]:
    """Yield a function that makes the comparison as a user does, with controls, floors, accuracy, statistics and report."""
    with tempfile.TemporaryDirectory(prefix="saq_eval-benchmark-") as folder:

        def work() -> Answer:
            plan = replace(plan_of(study), output=folder)
            given = {name: value for name, value in vars(plan).items() if name != "dataset"}
            compare(plan.dataset, **given)
            return Answer()

        yield work
