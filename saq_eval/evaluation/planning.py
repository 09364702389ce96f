"""The cells of a comparison, the order in which they are computed, and the jobs that compute several of them together.

All of this is known before anything is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from saq_eval.attribution import CONTROLS, Explainer
from saq_eval.evaluation.cells import Cell
from saq_eval.evaluation.plan import Target
from saq_eval.evaluation.settings import Settings, Subject


@dataclass(frozen=True)
class Job:
    """Cells that one process computes together because they use the same maps: one network × method, several metrics.

    Attributes:
        subject: the network.
        method: the method's label.
        metrics: the metrics' labels, in order, similarities last.
        others: the networks that it is compared with: first its baseline (for a baseline, itself), then its fine-tuned
            control, which was trained further in full precision, if there is one.
        passes: the approximate number of passes of the network for each image.
    """

    subject: Subject
    method: str
    metrics: tuple[str, ...]
    others: tuple[Subject, ...]
    passes: int

    @property
    def cells(self) -> list[Cell]:
        """The cells, in the metrics' order."""
        return [Cell(self.subject, self.method, metric) for metric in self.metrics]


def plan_jobs(subjects: Sequence[Subject], settings: Settings, policy: Target) -> list[list[Job]]:
    """Return the jobs in three waves: baselines, fine-tuned controls, all others. A wave uses the maps of earlier waves.

    Args:
        subjects: the networks, in order: models, controls, retrained networks.
        policy: which classes the maps explain; see `target` in `saq_eval.compare`.
    """
    jobs = [
        _job(subject, explainer, subjects, settings, policy)
        for subject in subjects
        for explainer in settings.methods_of(subject.role)
    ]
    # Controls come first, because a baseline's maps are compared with them.
    first = sorted((job for job in jobs if job.subject.is_baseline), key=lambda job: job.method not in CONTROLS)
    second = [job for job in jobs if job.subject.is_fine_tuned]
    return [first, second, [job for job in jobs if not job.subject.is_baseline and not job.subject.is_fine_tuned]]


def _job(
    subject: Subject, explainer: Explainer, subjects: Sequence[Subject], settings: Settings, policy: Target
) -> Job:
    similar = [s.label for s in settings.scorers if s.metric.category == "similarity"]
    rest = [s.label for s in settings.scorers if s.metric.category != "similarity"]
    # A retrained network may also be a model. If it explains the same classes, that model has its other scores.
    again = subject.role == "retrained" and policy == "label" and model_of(subject, subjects) is not None
    models = {s.name: s for s in subjects if s.role == "model"}
    names = [subject.baseline]
    if subject.role == "model" and subject.fine_tuned and not subject.is_fine_tuned:
        names.append(subject.fine_tuned)
    return Job(
        subject,
        explainer.label,
        metrics=(*([] if again else rest), *([] if explainer.label in CONTROLS else similar)),
        others=tuple(models[name] for name in names),
        # Models' images are explained a second time, with noise. A metric takes about ten passes.
        passes=explainer.passes * (2 if subject.role == "model" else 1) + (1 if again else 10 * len(settings.scorers)),
    )


def model_of(subject: Subject, subjects: Sequence[Subject]) -> Subject | None:
    """Return the model that is the same network as a subject; `None` if there is none."""
    return next((s for s in subjects if s.role == "model" and s.identity == subject.identity), None)
