"""The cells of a comparison, the order in which they are computed, and the jobs that compute several of them together.

All of this is known before anything is computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from saq_eval.attribution import CONTROLS, Explainer
from saq_eval.evaluation.cells import Cell
from saq_eval.evaluation.passes import passes_of_map, passes_of_metrics, passes_of_scores
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
        passes: about how long it takes: as so many passes of the network, forward alone, for each image.
    """

    subject: Subject
    method: str
    metrics: tuple[str, ...]
    others: tuple[Subject, ...]
    passes: int

    @property
    def judged(self) -> Subject:
        """The network that the maps are scored as explanations of.

        An untrained network's maps may be faithful to that network itself. So a control's maps are scored as if they explained
        the baseline.
        """
        return self.others[0] if self.subject.role == "control" else self.subject

    @property
    def cells(self) -> list[Cell]:
        """The cells, in the metrics' order."""
        return [Cell(self.subject, self.method, metric) for metric in self.metrics]


@dataclass(frozen=True)
class Refusals:
    """The reasons why networks cannot be explained by methods, or their maps cannot be scored by metrics.

    Attributes:
        methods: by network identity and method's label.
        metrics: by network identity and metric's label.
    """

    methods: Mapping[tuple[str, str], str] = field(default_factory=dict)
    metrics: Mapping[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Jobs:
    """The work of a comparison.

    Attributes:
        waves: the jobs in three waves: baselines, fine-tuned controls, all others. A wave uses the maps of earlier waves.
        holes: the cells that cannot be computed, with the reasons.
    """

    waves: list[list[Job]]
    holes: dict[Cell, str]


# Metrics of randomisation explain the images anew for each layer. Networks are not known here: the cnn has 7, a ResNet-18 41.
_LAYERS = 20


def plan_jobs(
    subjects: Sequence[Subject], settings: Settings, policy: Target, refusals: Refusals | None = None
) -> Jobs:
    """Return the jobs and the holes of a comparison.

    Args:
        subjects: the networks, in order: models, controls, retrained networks.
        policy: which classes the maps explain; see `target` in `saq_eval.compare`.
    """
    jobs: list[Job] = []
    holes: dict[Cell, str] = {}
    for subject in subjects:
        for explainer in settings.methods_of(subject.role):
            job = _job(subject, explainer, subjects, settings, policy)
            reasons = {metric: _reason(job, settings, metric, refusals or Refusals()) for metric in job.metrics}
            holes |= {Cell(subject, job.method, metric): reason for metric, reason in reasons.items() if reason}
            left = tuple(metric for metric, reason in reasons.items() if not reason)
            if left or not job.metrics:
                jobs.append(replace(job, metrics=left))
    # Controls come first, because a baseline's maps are compared with them.
    first = sorted((job for job in jobs if job.subject.is_baseline), key=lambda job: job.method not in CONTROLS)
    second = [job for job in jobs if job.subject.is_fine_tuned]
    rest = [job for job in jobs if not job.subject.is_baseline and not job.subject.is_fine_tuned]
    return Jobs([first, second, rest], holes)


def _reason(job: Job, settings: Settings, metric: str, refusals: Refusals) -> str:
    """Return why a cell of a job cannot be computed; "" if it can."""
    subject, baseline = job.subject, job.others[0]
    own = refusals.methods.get((subject.identity, job.method), "")
    if own:
        return own
    theirs = refusals.methods.get((baseline.identity, job.method), "")
    if settings.scorer[metric].metric.category == "similarity" and theirs:
        return f"{baseline.name} has no maps to compare with: {theirs}"
    return refusals.metrics.get((job.judged.identity, metric), "")


def _job(
    subject: Subject, explainer: Explainer, subjects: Sequence[Subject], settings: Settings, policy: Target
) -> Job:
    similar = [s.label for s in settings.scorers if s.metric.category == "similarity"]
    rest = [s.label for s in settings.scorers if s.metric.category != "similarity"]
    # A retrained network may also be a model. If it explains the same classes, that model has its other scores.
    again = subject.role == "retrained" and policy == "label" and model_of(subject, subjects) is not None
    models = {s.name: s for s in subjects if s.role == "model"}
    metrics = (*([] if again else rest), *([] if explainer.label in CONTROLS else similar))
    names = [subject.baseline]
    if subject.role == "model" and subject.fine_tuned and not subject.is_fine_tuned:
        names.append(subject.fine_tuned)
    return Job(
        subject,
        explainer.label,
        metrics,
        others=tuple(models[name] for name in names),
        passes=_passes(subject, explainer, metrics, settings),
    )


def _passes(subject: Subject, explainer: Explainer, metrics: Sequence[str], settings: Settings) -> int:
    shape, scorers = settings.sample.image_shape, [settings.scorer[metric] for metric in metrics]
    similar = any(scorer.metric.category == "similarity" for scorer in scorers)
    maps = 2 if similar and subject.role == "model" else 1  # models' images are explained a second time, with noise
    asked = passes_of_metrics(scorers, shape)
    shared = sum(asked.shared.values()) / len(settings.methods_of(subject.role))
    passes = passes_of_map(explainer, shape) * maps + passes_of_scores(explainer, asked, shape, _LAYERS)
    return passes.cost + round(shared) + len(metrics)  # what is done beside takes a pass, say, for each metric


def model_of(subject: Subject, subjects: Sequence[Subject]) -> Subject | None:
    """Return the model that is the same network as a subject; `None` if there is none."""
    return next((s for s in subjects if s.role == "model" and s.identity == subject.identity), None)
