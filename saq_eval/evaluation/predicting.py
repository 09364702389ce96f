"""The predictions of a comparison's networks, and the classes that their maps explain."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from saq_eval.core.errors import SaqEvalError
from saq_eval.evaluation.executors import Call, Died
from saq_eval.evaluation.how import How, OnStep
from saq_eval.evaluation.plan import Target
from saq_eval.evaluation.scoring import logits_of
from saq_eval.evaluation.settings import Settings, Subject
from saq_eval.evaluation.shared import Shared

_AT_A_TIME = 1024  # about so many images are predicted between two steps of the progress bar


@dataclass(frozen=True)
class Predicted:
    """Predictions of networks.

    Attributes:
        logits: of models and controls by name, float32 (measured images, classes).
        sample: of models and controls by name, the predicted classes of the sample, int64 (n,).
        accuracy: of all networks by identity, on the measured images.
    """

    logits: dict[str, np.ndarray]
    sample: dict[str, np.ndarray]
    accuracy: dict[str, float]


def prediction_passes(measured: int, sample: int) -> float:
    """Return the cost of the predictions of one network, in passes for each image of the sample."""
    return measured / sample


def parts_of(measured: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Return the positions of images, int64 (images,), in parts of whole batches, which are predicted and stored one by one."""
    size = batch_size * max(1, _AT_A_TIME // batch_size)
    return [measured[start : start + size] for start in range(0, len(measured), size)]


def predict_all(
    subjects: Sequence[Subject],
    shared: Shared,
    measured: np.ndarray,
    place: str,
    how: How,
    on_step: OnStep,
) -> Predicted:
    """Predict the classes of the measured images and of the sample, a part of the images at a time."""
    settings, labels = shared.settings, shared.test_set.labels.numpy()[measured]
    shown = {s.identity: s.name for s in subjects if s.role != "retrained"}
    names = {subject.identity: subject.name for subject in subjects} | shown
    parts = parts_of(measured, settings.batch_size)
    rows: dict[str, dict[int, np.ndarray]] = {identity: {} for identity in names}
    kept, right = {}, {}
    for identity, part, logits in _logits(names, parts, shared, place, how):
        rows[identity][part] = logits
        on_step(f"{names[identity]} predicts", prediction_passes(len(parts[part]), len(settings.sample)))
        if len(rows[identity]) == len(parts):
            every = rows.pop(identity)
            whole = np.concatenate([every[number] for number in range(len(parts))])
            right[identity] = float((whole.argmax(axis=1) == labels).mean())
            if identity in shown:
                kept[identity] = whole
    by_identity = _of_sample(kept, names, shared, measured, place, how)
    by_name = {s.name: s.identity for s in subjects if s.role != "retrained"}
    return Predicted(
        {name: kept[identity] for name, identity in by_name.items()},
        {name: by_identity[identity].argmax(axis=1) for name, identity in by_name.items()},
        right,
    )


def _logits(
    names: Mapping[str, str], parts: Sequence[np.ndarray], shared: Shared, place: str, how: How
) -> Iterator[tuple[str, int, np.ndarray]]:
    """Yield networks' logits, from the store or computed: (identity, the part's number, float32 (images, classes)).

    Args:
        names: the networks' names, by identity.
        parts: arrays int64 (images,), positions in the test set.
    """
    prints = [shared.test_set.subset(part).fingerprint for part in parts]
    every = list(itertools.product(names, range(len(parts))))
    how.on_keys([shared.keys.logits(identity, prints[part]) for identity, part in every])
    missing = []
    for identity, part in every:
        entry = shared.store.get(shared.keys.logits(identity, prints[part]))
        if entry is None:
            missing.append((identity, part))
        else:
            yield identity, part, np.array(entry.arrays["logits"])
    calls = [
        Call(logits_of, (identity, names[identity], parts[part], prints[part]), (identity,))
        for identity, part in missing
    ]
    for number, logits in how.executor.run(calls, place):
        identity, part = missing[number]
        if isinstance(logits, Died):
            raise SaqEvalError(f"the network {names[identity]!r} cannot predict the test images: {logits.reason}")
        shared.keep(shared.keys.logits(identity, prints[part]), {"logits": logits})
        yield identity, part, logits


def _of_sample(
    logits: Mapping[str, np.ndarray],
    names: Mapping[str, str],
    shared: Shared,
    measured: np.ndarray,
    place: str,
    how: How,
) -> dict[str, np.ndarray]:
    """Return the logits of the sample by identity, from the logits of the measured images if they hold the sample."""
    assert shared.settings.sample.positions is not None  # a sample always has them
    sample = shared.settings.sample.positions.numpy()
    where = {int(position): row for row, position in enumerate(measured)}
    if all(int(position) in where for position in sample):
        rows = [where[int(position)] for position in sample]
        return {identity: every[rows] for identity, every in logits.items()}
    named = {identity: names[identity] for identity in logits}
    return {identity: found for identity, _, found in _logits(named, [sample], shared, place, how)}


def targets_of(
    subjects: Sequence[Subject], policy: Target, predictions: Mapping[str, np.ndarray], settings: Settings
) -> dict[Subject, np.ndarray]:
    """Return the classes that each network's maps explain; see `choose_targets`."""
    labels = settings.sample.labels.numpy()
    return {subject: choose_targets(subject, policy, labels, predictions) for subject in subjects}


def choose_targets(
    subject: Subject, policy: Target, labels: np.ndarray, predictions: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return the classes that a network's maps explain: int64 (n,).

    Args:
        policy: see `target` in `saq_eval.compare`.
        labels: int64 (n,).
        predictions: by model, the predicted classes, int64 (n,).
    """
    if policy == "label":
        return labels
    if policy == "predicted" and subject.role == "model":
        return predictions[subject.name]
    # A control or retrained network explains the classes that its baseline predicts, so that their maps can be compared.
    return predictions[subject.baseline]
