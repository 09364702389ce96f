"""Train the models of a study that the zoo does not hold yet."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from saq_eval.core.errors import SaqEvalError
from saq_eval.data import Dataset, Images, load_dataset
from saq_eval.quantization import quantize
from saq_eval.studies.driver import check_trainable, train_planned
from saq_eval.studies.study import Planned, Study, load_study
from saq_eval.zoo import build_network, find_model, verify_model, writable_zoo
from saq_eval.zoo.cards import Card


def train_study(
    study: str | Path | Study,
    dataset: str,
    *,
    only: Sequence[str] = ("*",),
    zoo: str | os.PathLike | None = None,
    data_root: str | os.PathLike | None = None,
    device: str = "auto",
    overwrite: bool = False,
    progress: bool = True,
    report: Callable[[str], object] = lambda line: None,
) -> list[Card]:
    """Train the models of a study that are not in the zoo yet; verify and keep those that are.

    All models are checked before the first is trained. A run may be stopped at any time; the next run resumes it.

    Args:
        only: names or shell patterns of the models to train. Parents that do not match must be in the zoo.
        overwrite: train the models again that are in the zoo but differ from the study or fail verification.
        report: called with a line of text for each model.

    Returns:
        The models' cards.

    Raises:
        SaqEvalError: as `train_model` and `verify_model` do, and if a model in the zoo differs from the study and
            `overwrite` is false; the message names the fields that differ.
    """
    study = study if isinstance(study, Study) else load_study(study)
    target = writable_zoo(zoo)
    plan = [model for model in study.plan(dataset) if any(fnmatchcase(model.name, pattern) for pattern in only)]
    if not plan:
        raise SaqEvalError(f"study {study.name!r} has no model called {', '.join(only)}")
    train_set = load_dataset(dataset, "train", data_root).in_memory()
    test_set = load_dataset(dataset, "test", data_root)
    for planned in plan:
        _check_planned(planned, train_set, test_set)
    cards = []
    for number, planned in enumerate(plan, start=1):
        there = (target / dataset / planned.name).exists()
        problem = _problem(planned, dataset, test_set, zoo) if there else None
        if problem and not overwrite:
            raise SaqEvalError(f"{target / dataset / planned.name}: {problem}; overwrite it, or choose another zoo")
        kept = there and not problem
        if kept:
            card, _ = find_model(dataset, planned.name, zoo)
        else:
            card = train_planned(planned, dataset, zoo, data_root, device, there, progress)
        line = f"{dataset}/{card.name}: {'kept' if kept else 'trained'}, test accuracy {100 * card.test_accuracy:.2f} %"
        report(f"[{number}/{len(plan)}] {line}")
        cards.append(card)
    return cards


def _check_planned(planned: Planned, train_set: Dataset, test_set: Images) -> None:
    """Raise `SaqEvalError` if the planned training would fail. It is not checked whether the parent exists."""
    untrained = build_network(planned.architecture, planned.seed)
    if planned.scheme.starts_from_parent:
        untrained = quantize(untrained, planned.scheme)
    check_trainable(planned.name, untrained, planned.recipe, train_set, test_set)


def _problem(planned: Planned, dataset: str, test_set: Images, zoo: str | os.PathLike | None) -> str | None:
    """Return a text on what is wrong with a model of the zoo (it differs from the plan or fails verification), or `None`."""
    card, folder = find_model(dataset, planned.name, zoo)
    differences = planned.differences(card)
    if differences:
        return f"its card differs from the study in {', '.join(differences)}"
    if planned.parent:
        parent, _ = find_model(dataset, planned.parent, zoo)
        if card.parent_sha256 != parent.training_form_sha256:
            return f"it started from another {parent.name} than the zoo holds now"
    try:
        verify_model(card, folder, test_set)
    except SaqEvalError as error:
        return str(error)
    return None
