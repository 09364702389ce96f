"""Set up a comparison from its plan: look up, load and check everything before anything is computed."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from saq_eval.attribution import CONTROLS, Explainer, explain, find_explainers
from saq_eval.attribution.background import background_images
from saq_eval.core.devices import pick_device
from saq_eval.core.errors import SaqEvalError, SaqEvalWarning
from saq_eval.core.randomness import derived_seed
from saq_eval.data import Dataset, load_dataset
from saq_eval.data.masks import MaskRecord
from saq_eval.evaluation.plan import USUAL, Plan, merge
from saq_eval.evaluation.settings import Settings, Subject
from saq_eval.metrics import Scorer, find_scorers
from saq_eval.networks.inference import predict
from saq_eval.networks.network import Network
from saq_eval.studies.study import load_study
from saq_eval.zoo import check_reads, find_models, open_model
from saq_eval.zoo.networks import RANDOM_WEIGHTS, Choice, as_network, choose, open_network, untrained


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
        settings: the settings that hold for every network.
        masks: the kind and number of the sample's masks; see `Dataset.mask_record`.
    """

    plan: Plan
    study: str | None
    missing: list[str]
    networks: dict[str, Network]
    modules: dict[str, nn.Module]
    subjects: list[Subject]
    retrained: dict[str, dict[str, str]]
    test_set: Dataset
    settings: Settings
    masks: MaskRecord


def set_up(plan: Plan, maps: Path) -> Setup:
    """Look up, load and check everything that a plan names.

    Args:
        maps: the folder of the maps.

    Raises:
        SaqEvalError: an unknown name, a count out of range, a network with a layer that a method has no rule for, or a
            file that cannot be read.
    """
    plan, names, study, missing = _with_study(plan)
    explainers = [e for e in find_explainers(plan.methods or ()) if e.label not in CONTROLS]
    if not explainers:
        raise SaqEvalError(f"{' and '.join(CONTROLS)} are part of every comparison: name a method to compare with them")
    scorers = find_scorers(plan.metrics or ())
    device = _device(plan)
    choice = choose(plan.dataset, names, plan.baseline, plan.zoo)
    test_set = load_dataset(plan.dataset, "test", plan.data_root)
    assert plan.samples is not None  # _with_study has filled it in
    sample = test_set.sample(plan.samples, plan.seed)
    masks = _masks(sample, scorers)
    for scorer in scorers:
        scorer.settings(sample.image_shape)  # it raises if a parameter does not fit the images
    background = background_images(explainers, plan.dataset, plan.seed, plan.data_root)
    networks, subjects = _networks(choice, plan, sample)
    _check_outputs(networks, choice.baseline_of, sample)
    _check_explains(plan.dataset, explainers, [networks[name] for name in choice.entries], sample, background)
    again, retrained = _retrained(choice, networks, plan, sample)
    weights = {network.identity: network.weights for network in again.values()}
    return Setup(
        plan=replace(plan, methods=[e.label for e in explainers], metrics=[s.label for s in scorers]),
        study=study,
        missing=missing,
        networks=networks,
        modules={network.identity: network.module for network in (*again.values(), *networks.values())},
        subjects=subjects + retrained,
        retrained={
            baseline: {s.name: weights[s.identity] for s in retrained if s.baseline == baseline}
            for baseline in choice.retrained_of
        },
        test_set=test_set,
        settings=Settings(sample, explainers, scorers, plan.seed, plan.batch_size, device, background, maps),
        masks=masks,
    )


def _with_study(plan: Plan) -> tuple[Plan, Sequence[str] | None, str | None, list[str]]:
    """Fill in a plan from its study; return the plan, the models' names, the study's name and its missing models."""
    names, missing = plan.models, []
    study = None if plan.study is None else load_study(plan.study)
    if study is not None and names is None:
        held = [card.name for card, _ in find_models(plan.dataset, ["*"], plan.zoo)]
        names = study.compared(plan.dataset, held)
        missing = [name for name in study.wanted(plan.dataset) if name not in held]
    said = [vars(study.comparison)] if study is not None else []
    given = merge(USUAL, *said, vars(plan))
    filled = replace(plan, **{name: given[name] for name in USUAL})
    return filled, names, None if study is None else study.name, missing


def _device(plan: Plan) -> str:
    device = pick_device(plan.device).type
    if device != "cpu" and plan.workers > 1:
        raise SaqEvalError(f"several workers share a processor, not a {device} device: use one")
    return device


def _masks(sample: Dataset, scorers: Sequence[Scorer]) -> MaskRecord:
    masks = sample.mask_record()
    if not masks["images"] and any("masks" in scorer.metric.needs for scorer in scorers):
        warnings.warn(f"localisation is not scored: {masks['reason']}", SaqEvalWarning, stacklevel=4)
    return masks


def _networks(choice: Choice, plan: Plan, sample: Dataset) -> tuple[dict[str, Network], list[Subject]]:
    """Load the models, in order, and then make a network with random weights of each baseline's architecture."""
    models = {name: open_model(*entry, trust_code=plan.trust_code) for name, entry in choice.entries.items()}
    networks, subjects = {}, []
    for name, model in models.items():
        check_reads(name, model.network, sample)
        networks[name] = as_network(model, sample.images[:1])
        tuned = choice.fine_tuned_of.get(name, "")
        subjects.append(_subject(networks[name], choice.baseline_of[name], fine_tuned=tuned))
    for name in choice.retrained_of:
        weights_seed = derived_seed(plan.seed, RANDOM_WEIGHTS, name)
        control = untrained(models[name], plan.seed, weights_seed, trust_code=plan.trust_code)
        networks[control.name] = control
        subjects.append(_subject(control, name, role="control"))
    return networks, subjects


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
                loaded[name] = networks.get(name) or open_network(entry, sample.images[:1], trust_code=plan.trust_code)
            # It explains the baseline's classes. Unless these are the labels, they may differ from those of the same network
            # as a model, so it gets another name.
            alias = name if plan.target == "label" else f"{name} (as {baseline})"
            subjects.append(Subject(alias, loaded[name].identity, baseline, "retrained"))
    return loaded, subjects


def _check_outputs(networks: dict[str, Network], baseline_of: dict[str, str], sample: Dataset) -> None:
    """Raise `SaqEvalError` unless every network has the same number of outputs as its baseline."""
    outputs = {name: predict(networks[name].module, sample.images[:1]).shape[1] for name in baseline_of}
    for name, count in outputs.items():
        if count != outputs[baseline_of[name]]:
            raise SaqEvalError(
                f"{name} has {count} outputs and its baseline {baseline_of[name]} {outputs[baseline_of[name]]}: "
                "their predictions cannot be compared"
            )


def _check_explains(
    dataset: str,
    explainers: Sequence[Explainer],
    networks: Sequence[Network],
    sample: Dataset,
    background: torch.Tensor | None,
) -> None:
    """Raise `SaqEvalError` unless every method can explain the first network.

    Methods by rules and by class activation, which depend on the layers, are checked on all networks.
    """
    few = None if background is None else background[:1]
    for explainer, (place, network) in itertools.product(explainers, enumerate(networks)):
        if place == 0 or explainer.method.family in ("rules", "class activation"):
            try:
                explain(explainer, network.module, sample.images[:2], sample.labels[:2], background=few)
            except SaqEvalError as error:
                raise SaqEvalError(f"{dataset}/{network.name}: {error}") from error
