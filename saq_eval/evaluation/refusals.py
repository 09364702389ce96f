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
from saq_eval.networks.fingerprint import form_of


def find_refusals(subjects: Sequence[Subject], modules: Mapping[str, nn.Module], settings: Settings) -> Refusals:
    """Try on one or two images which methods can explain which networks, and which metrics can score them.

    Of networks that differ in their weights alone, one is tried.

    Args:
        modules: the networks by identity.

    Raises:
        SaqEvalError: for a network that cannot be explained at all, such as one that mixes the images of a batch.
    """
    some = settings.sample.subset(range(min(2, len(settings.sample))))
    few = some.images, some.labels
    background = None if settings.background is None else settings.background[:1]
    by_method: dict[tuple[str, str], str] = {}
    by_metric: dict[tuple[str, str], str] = {}
    names: dict[str, str] = {}
    for subject in subjects:
        names.setdefault(subject.identity, subject.name)
    tried: dict[str, tuple[dict[str, str | None], dict[str, str | None]]] = {}
    for identity, name in names.items():
        network = modules[identity]
        form = form_of(network) or identity
        try:
            if form not in tried:
                tried[form] = (
                    {e.label: attribution.refusal(e, network, *few, background) for e in settings.explainers},
                    {s.label: metrics.refusal(s, network) for s in settings.scorers},
                )
        except SaqEvalError as error:
            raise SaqEvalError(f"{settings.sample.name}/{name}: {error}") from error
        for found, reasons in zip((by_method, by_metric), tried[form], strict=True):
            found |= {(identity, label): reason for label, reason in reasons.items() if reason is not None}
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
