"""What cannot be computed, found before anything is: networks that a method cannot explain or a metric cannot score."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping, Sequence

from torch import nn

from saq_eval import attribution, metrics
from saq_eval.core.errors import SaqEvalError, SaqEvalWarning
from saq_eval.evaluation.planning import Refusals
from saq_eval.evaluation.settings import Settings, Subject


def find_refusals(subjects: Sequence[Subject], modules: Mapping[str, nn.Module], settings: Settings) -> Refusals:
    """Try on one or two images which methods can explain which networks, and which metrics can score them.

    Args:
        modules: the networks by identity.

    Raises:
        SaqEvalError: for a network that cannot be explained at all, such as one that mixes the images of a batch.
    """
    few = settings.sample.subset(range(min(2, len(settings.sample))))
    background = None if settings.background is None else settings.background[:1]
    by_method: dict[tuple[str, str], str] = {}
    by_metric: dict[tuple[str, str], str] = {}
    names: dict[str, str] = {}
    for subject in subjects:
        names.setdefault(subject.identity, subject.name)
    for identity, name in names.items():
        network = modules[identity]
        try:
            for explainer in settings.explainers:
                reason = attribution.refusal(explainer, network, few.images, few.labels, background)
                if reason is not None:
                    by_method[identity, explainer.label] = reason
            for scorer in settings.scorers:
                reason = metrics.refusal(scorer, network)
                if reason is not None:
                    by_metric[identity, scorer.label] = reason
        except SaqEvalError as error:
            raise SaqEvalError(f"{settings.sample.name}/{name}: {error}") from error
    return Refusals(by_method, by_metric)


def check_some_work(subjects: Sequence[Subject], settings: Settings, refusals: Refusals) -> None:
    """Warn of each method that cannot explain a model.

    Raises:
        SaqEvalError: if no method can explain any model, so that a comparison would hold nothing but holes.
    """
    models = [subject for subject in subjects if subject.role == "model"]
    labels = [explainer.label for explainer in settings.explainers]
    reasons = {
        (subject.name, label): refusals.methods[subject.identity, label]
        for subject, label in itertools.product(models, labels)
        if (subject.identity, label) in refusals.methods
    }
    if reasons and len(reasons) == len(models) * len(labels):
        (name, label), reason = next(iter(reasons.items()))
        raise SaqEvalError(f"no method can explain any of the networks; for {name}, {label}: {reason}")
    for label in labels:
        holes = {name: reason for (name, method), reason in reasons.items() if method == label}
        if holes:
            reason = next(iter(holes.values())).partition(";")[0]
            warnings.warn(f"{label} cannot explain {', '.join(holes)}: {reason}", SaqEvalWarning, stacklevel=5)
