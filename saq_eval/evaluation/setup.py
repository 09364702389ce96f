"""Set up a comparison from its plan: look up, load and check everything before anything is computed."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from torch import nn

from saq_eval.attribution import CONTROLS, METHODS, Explainer, find_explainers
from saq_eval.attribution.background import background_images
from saq_eval.core.devices import device_count, pick_device
from saq_eval.core.errors import SaqEvalError, SaqEvalWarning, shortened
from saq_eval.core.randomness import derived_seed
from saq_eval.data import Dataset, Images, check_readable, dataset_name
from saq_eval.data.images import stratified
from saq_eval.data.masks import MaskRecord
from saq_eval.evaluation.plan import USUAL, Plan, merge
from saq_eval.evaluation.planning import Refusals
from saq_eval.evaluation.refusals import check_some_work, find_refusals
from saq_eval.evaluation.settings import Settings, Subject
from saq_eval.evaluation.shared import why_not_stored
from saq_eval.evaluation.subjects import (
    check_network,
    expectations,
    open_checked,
    open_images_for,
    outside_networks,
    typical_images,
    with_channels,
    zoo_dataset,
)
from saq_eval.metrics import METRICS, Scorer, find_scorers
from saq_eval.networks.compiled import why_not_compiled
from saq_eval.networks.inference import predict
from saq_eval.networks.memory import images_at_once
from saq_eval.networks.network import RANDOM_WEIGHTS, Network
from saq_eval.studies.study import load_study
from saq_eval.zoo import find_models
from saq_eval.zoo.networks import Choice, choose


@dataclass(frozen=True, eq=False)
class Setup:
    """Everything that a comparison needs.

    Attributes:
        plan: the plan, with its methods, metrics and samples filled in.
        study: the study's name; `None` without a study.
        missing: models of the study that the zoo does not hold.
        networks: by name, the models and the networks with random weights.
        modules: by identity, all networks, including retrained networks.
        subjects: the networks in their roles: models, controls, retrained networks.
        retrained: by baseline and name, the SHA-256 of the weights of the networks that differ from it only in the seed.
        test_set: the whole test set.
        measured: int64, the positions of the test images that accuracy is measured on.
        settings: the settings that hold for every network.
        masks: the kind and number of the sample's masks; see `Images.mask_record`.
        refusals: which networks cannot be explained by which methods, or scored by which metrics.
    """

    plan: Plan
    study: str | None
    missing: list[str]
    networks: dict[str, Network]
    modules: dict[str, nn.Module]
    subjects: list[Subject]
    retrained: dict[str, dict[str, str]]
    test_set: Images
    measured: np.ndarray
    settings: Settings
    masks: MaskRecord
    refusals: Refusals


def set_up(plan: Plan, store: Path) -> Setup:
    """Look up, load and check everything that a plan names.

    Args:
        store: the folder of the store, which need not exist yet.

    Raises:
        SaqEvalError: an unknown name, a count out of range, a network that no method can explain, or a file that cannot be
            read.
    """
    outside = outside_networks(plan)
    # Images that have a name are opened as the networks expect them, so networks are chosen by that name first.
    dataset = zoo_dataset(plan)
    plan, names, study, missing = _with_study(plan, dataset)
    choice = choose(dataset, names, plan.baseline, plan.zoo, outside)
    expected = expectations(choice.entries)
    test_set = open_images_for(plan, expected)
    explainers, scorers = _methods_and_metrics(plan, test_set.image_shape)
    device = _device(plan)
    assert plan.samples is not None  # _with_study has filled it in
    sample = test_set.sample(plan.samples, plan.seed)
    measured = _measured(test_set, plan.accuracy_on, plan.seed)
    check_readable(test_set, measured)
    masks = _masks(sample, scorers)
    background = background_images(explainers, lambda: typical_images(plan, expected, test_set, sample), plan.seed)
    networks, subjects = _networks(choice, plan, sample)
    _check_outputs(networks, choice.baseline_of, sample)
    again, retrained = _retrained(choice, networks, plan, sample)
    weights = {network.identity: network.weights for network in again.values()}
    modules = {n.identity: cast(nn.Module, n.module) for n in (*again.values(), *networks.values())}
    fitting = min(images_at_once(module, sample.images[:1], plan.batch_size) for module in modules.values())
    plan = _compiling(plan)
    settings = Settings(sample, explainers, scorers, plan.seed, fitting, device, background, store, plan.compile)
    subjects += retrained
    refusals = find_refusals(subjects, modules, settings)
    check_some_work(subjects, settings, refusals)
    plan = _shared_out(
        plan, [n for name, n in networks.items() if name not in choice.entries or name in outside], sample
    )
    return Setup(
        plan=_as_used(plan, explainers, scorers),
        study=study,
        missing=missing,
        networks=networks,
        modules=modules,
        subjects=subjects,
        retrained={
            baseline: {s.name: weights[s.identity] for s in retrained if s.baseline == baseline}
            for baseline in choice.retrained_of
        },
        test_set=test_set,
        measured=measured,
        settings=settings,
        masks=masks,
        refusals=refusals,
    )


def _methods_and_metrics(plan: Plan, shape: tuple[int, int, int]) -> tuple[list[Explainer], list[Scorer]]:
    """Look methods and metrics up; raises `SaqEvalError` if a parameter does not fit images of the shape (c, h, w)."""
    explainers = [e for e in find_explainers(plan.methods or ()) if e.label not in CONTROLS]
    if not explainers:
        raise SaqEvalError(f"{' and '.join(CONTROLS)} are part of every comparison: name a method to compare with them")
    scorers = find_scorers(plan.metrics or (), plan.engine)
    for explainer in explainers:
        explainer.settings(shape)
    for scorer in scorers:
        scorer.settings(shape)
    return explainers, scorers


def _as_used(plan: Plan, explainers: Sequence[Explainer], scorers: Sequence[Scorer]) -> Plan:
    """Return a plan with the labels of its methods and metrics; functions stay as they were given, since no text names them."""
    return replace(
        plan,
        methods=[*(e.label for e in explainers if e.method.name in METHODS), *filter(callable, plan.methods or ())],
        metrics=[*(s.label for s in scorers if s.metric.name in METRICS), *filter(callable, plan.metrics or ())],
    )


def _with_study(plan: Plan, dataset: str) -> tuple[Plan, Sequence[str] | None, str | None, list[str]]:
    """Fill in a plan from its study; return the plan, the zoo models' names, the study's name and its missing models."""
    names, missing = plan.zoo_models, []
    study = None if plan.study is None else load_study(plan.study)
    if study is not None and names is None:
        held = [card.name for card, _ in find_models(dataset, ["*"], plan.zoo)]
        names = study.compared(dataset_name(dataset), held)
        missing = [name for name in study.wanted(dataset_name(dataset)) if name not in held]
    said = [vars(study.comparison)] if study is not None else []
    given = merge(USUAL, *said, vars(plan))
    filled = replace(plan, **{name: given[name] for name in USUAL})
    return filled, names, None if study is None else study.name, missing


def _device(plan: Plan) -> str:
    device = pick_device(plan.device).type
    if device != "cpu" and plan.scheduler is None and plan.workers > device_count():
        raise SaqEvalError(f"each worker has a {device} device of its own: use at most {device_count()}")
    return device


def _compiling(plan: Plan) -> Plan:
    """Return the plan, without compiling if that is not possible here."""
    reason = why_not_compiled() if plan.compile else ""
    if reason:
        warnings.warn(f"networks are not compiled: {reason}", SaqEvalWarning, stacklevel=4)
    return replace(plan, compile=plan.compile and not reason)


def _shared_out(plan: Plan, outside: Sequence[Network], sample: Dataset) -> Plan:
    """Return the plan, for this process alone if a network cannot be sent to others, since results are the same for any."""
    for network in outside if plan.workers > 1 or plan.executor == "dask" else ():
        reason = why_not_stored(cast(nn.Module, network.module), sample.images[:1])
        if reason:
            warnings.warn(
                f"one process does all the work: {network.name} cannot be sent to another ({reason})",
                SaqEvalWarning,
                stacklevel=4,
            )
            return replace(plan, executor="processes", scheduler=None, workers=1)
    return plan


def _measured(test_set: Images, count: int | None, seed: int) -> np.ndarray:
    """Return the positions of images to measure accuracy on, all of them or so many, stratified by class."""
    if count is None:
        return np.arange(len(test_set))
    if not 1 <= count <= len(test_set):
        raise SaqEvalError(
            f"accuracy_on lies between 1 and {len(test_set)}, the size of the {test_set.name} test set, not {count}"
        )
    return stratified(test_set.labels, count, derived_seed(seed, "accuracy")).numpy()


def _masks(sample: Dataset, scorers: Sequence[Scorer]) -> MaskRecord:
    masks = sample.mask_record()
    if not masks["images"] and any("masks" in scorer.metric.needs for scorer in scorers):
        warnings.warn(f"localisation is not scored: {masks['reason']}", SaqEvalWarning, stacklevel=4)
    return masks


def _networks(choice: Choice, plan: Plan, sample: Dataset) -> tuple[dict[str, Network], list[Subject]]:
    """Load the models, in order, and then make a network with random weights of each baseline's architecture."""
    networks, subjects = {}, []
    for name, entry in choice.entries.items():
        networks[name] = open_checked(name, entry, sample, trust_code=plan.trust_code)
        tuned = choice.fine_tuned_of.get(name, "")
        subjects.append(_subject(networks[name], choice.baseline_of[name], fine_tuned=tuned))
    for name in choice.retrained_of:
        untrained = networks[name].untrained
        control = untrained(derived_seed(plan.seed, RANDOM_WEIGHTS, name)) if untrained is not None else None
        if control is None:
            warnings.warn(
                f"{name} cannot be given random weights, so nothing tells which scores depend on what it has learned",
                SaqEvalWarning,
                stacklevel=4,
            )
            continue
        control = with_channels(control, sample)
        if isinstance(choice.entries[name], Network):
            control = check_network(control, sample)
        networks[control.name] = replace(control, seed=plan.seed)
        subjects.append(_subject(control, name, role="control"))
    _say_how_images_are_read(networks[name] for name in choice.entries)
    return networks, subjects


def _say_how_images_are_read(networks: Iterable[Network]) -> None:
    """Warn of networks that do not read images as they are, once for each way to read them."""
    by_way: dict[str, list[str]] = {}
    for network in networks:
        for way in network.reads:
            by_way.setdefault(way, []).append(network.name)
    for way, names in by_way.items():
        warnings.warn(f"{shortened(names)}: {way}", SaqEvalWarning, stacklevel=5)


def _subject(network: Network, baseline: str, **role: Any) -> Subject:
    return Subject(network.name, network.identity, baseline, **role)


def _retrained(
    choice: Choice, networks: dict[str, Network], plan: Plan, sample: Dataset
) -> tuple[dict[str, Network], list[Subject]]:
    """Load the networks that differ from a baseline only in the seed; return the networks by name, and their subjects."""
    loaded: dict[str, Network] = {}
    subjects = []
    for baseline, others in choice.retrained_of.items():
        for name, entry in others.items():
            if name not in loaded:
                loaded[name] = networks.get(name) or open_checked(name, entry, sample, trust_code=plan.trust_code)
            # It explains the baseline's classes. Unless these are the labels, they may differ from those of the same network
            # as a model, so it gets another name.
            alias = name if plan.target == "label" else f"{name} (as {baseline})"
            subjects.append(Subject(alias, loaded[name].identity, baseline, "retrained"))
    return loaded, subjects


def _check_outputs(networks: dict[str, Network], baseline_of: dict[str, str], sample: Dataset) -> None:
    """Raise `SaqEvalError` unless every network has the same number of outputs as its baseline."""
    outputs = {
        name: predict(cast(nn.Module, networks[name].module), sample.images[:1]).shape[1] for name in baseline_of
    }
    for name, count in outputs.items():
        if count != outputs[baseline_of[name]]:
            raise SaqEvalError(
                f"{name} has {count} outputs and its baseline {baseline_of[name]} {outputs[baseline_of[name]]}: "
                "their predictions cannot be compared"
            )
