"""Turn models of the zoo into the networks of a comparison: choose the models and their baselines, and state their facts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from saq_eval.core.errors import SaqEvalError, unknown_name
from saq_eval.networks.network import BitWidths, Facts, Network
from saq_eval.quantization.costs import bit_widths, layer_costs
from saq_eval.zoo.cards import Card, is_fine_tuned_twin, twin
from saq_eval.zoo.finding import find_models
from saq_eval.zoo.loading import Model, open_model, random_weights

RANDOM_WEIGHTS = "random weights"
RETRAINED = 4  # the number of networks of other seeds that each baseline is compared with, if the zoo has them

Entry = tuple[Card, Path]


@dataclass(frozen=True)
class Choice:
    """The models of a comparison, by name and in the zoo's order.

    Attributes:
        entries: the models' cards and folders.
        baseline_of: for each model, the model that it is compared with; for a baseline, the baseline itself.
        fine_tuned_of: for each model that has one, its fine-tuned control: the model that was trained further from the same
            baseline in full precision.
        retrained_of: for each baseline, other models that differ from it only in the seed. Some of them may not be among
            `entries`.
    """

    entries: dict[str, Entry]
    baseline_of: dict[str, str]
    fine_tuned_of: dict[str, str]
    retrained_of: dict[str, dict[str, Entry]]


def choose(
    dataset: str, names: Sequence[str] | None, baseline: str | None = None, zoo: str | os.PathLike | None = None
) -> Choice:
    """Choose models by name, and add all models that they are compared with.

    Args:
        names: names or shell patterns; `None` for all models of seed 0.
        baseline: the model that all models are compared with; by default each model's full-precision parent.

    Raises:
        SaqEvalError: an unknown name, no model at all, or a model whose parent is not in the zoo.
    """
    everything = find_models(dataset, ["*"], zoo)
    if names is None:
        chosen = [(card, folder) for card, folder in everything if card.seed == 0]
    else:
        chosen = find_models(dataset, names, zoo)
    if not chosen:
        raise SaqEvalError("at least one model is needed")
    known = {card.name: card for card, _ in everything}
    if baseline is not None and baseline not in known:
        raise unknown_name(f"{dataset} model", baseline, known)
    baseline_of = _baselines(dataset, [card for card, _ in chosen], baseline, known)
    fine_tuned_of = {}
    for name, counterpart in list(baseline_of.items()):
        twins = [card.name for card in known.values() if is_fine_tuned_twin(card, known[name])]
        if twins and counterpart == known[name].parent:
            fine_tuned_of[name] = fine_tuned_of[twins[0]] = twins[0]
            baseline_of[twins[0]] = counterpart
    entries = {card.name: (card, folder) for card, folder in everything if card.name in baseline_of}
    baseline_of = {name: baseline_of[name] for name in entries}
    baselines = dict.fromkeys(baseline_of.values())
    return Choice(
        entries,
        baseline_of,
        fine_tuned_of,
        {name: _retrained(known[name], everything, baselines) for name in baselines},
    )


def _baselines(dataset: str, chosen: Sequence[Card], baseline: str | None, known: dict[str, Card]) -> dict[str, str]:
    baseline_of = {}
    for card in chosen:
        counterpart = baseline or (card.parent if card.scheme.starts_from_parent else card.name)
        if counterpart not in known:
            raise SaqEvalError(
                f"the zoo has no full-precision parent {counterpart!r} of {dataset}/{card.name} to compare it with; "
                "name a baseline model"
            )
        baseline_of[card.name] = counterpart
    return baseline_of | {name: name for name in set(baseline_of.values())}


def _retrained(card: Card, everything: Sequence[Entry], baselines: dict[str, None]) -> dict[str, Entry]:
    """Return models that differ from a baseline only in the seed.

    All such models that are baselines too are returned, so that every pair of baselines is compared. Other models of the
    zoo are added until there are `RETRAINED`.
    """
    same = [(c, folder) for c, folder in everything if c.seed != card.seed and twin(c) == twin(card)]
    same.sort(key=lambda entry: (entry[0].name not in baselines, entry[0].seed))
    compared = sum(c.name in baselines for c, _ in same)
    return {c.name: (c, folder) for c, folder in same[: max(RETRAINED, compared)]}


def facts_of(card: Card, bits: BitWidths) -> Facts:
    """Return a card's facts about its network; `bits` are the bit widths of the network's layers."""
    unguided = None if card.recipe is None else replace(card, recipe=replace(card.recipe, saliency_guided=None))
    return Facts(
        name=card.name,
        architecture=card.architecture.name,
        scheme=card.scheme.name,
        bits=bits,
        training=card.training,
        seed=card.seed,
        full_precision=card.scheme.is_full_precision,
        starts_from_parent=card.scheme.starts_from_parent,
        kin=str(twin(card)),
        kin_but_guidance=None if unguided is None else str(twin(unguided)),
    )


def identity_of(card: Card) -> str:
    """Return a network's identity: a hash of its weights, architecture, scheme and preprocessing."""
    parts = (card.weights_sha256, card.architecture, card.scheme, card.preprocessing)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def as_network(model: Model, image: Tensor) -> Network:
    """Return a loaded model as a network of a comparison.

    Args:
        image: float32 (1, c, h, w); its size decides the number of operations.
    """
    layers = layer_costs(model.frozen, model.card.scheme, image)
    return Network(
        facts=facts_of(model.card, bit_widths(layers)),
        module=model.network,
        identity=identity_of(model.card),
        weights=model.card.weights_sha256,
        layers=tuple(layers),
        parameters=model.parameters,
        ideal_bytes=model.ideal_bytes,
        file_bytes=model.file_bytes,
    )


def untrained(model: Model, seed: int, weights_seed: int, *, trust_code: bool = False) -> Network:
    """Return a network with a model's architecture and random weights.

    Args:
        seed: the seed in the network's facts.
        weights_seed: the seed that the weights are drawn from.
    """
    name = f"{model.card.name} ({RANDOM_WEIGHTS})"
    facts = facts_of(model.card, BitWidths("32", "32", "32"))
    return Network(
        facts=replace(facts, name=name, scheme="fp32", training="none", seed=seed, kin=name, kin_but_guidance=None),
        module=random_weights(model, weights_seed, trust_code=trust_code),
        identity=f"{identity_of(model.card)}, random weights of seed {weights_seed}",
        weights=f"seed {weights_seed}",
    )


def open_network(entry: Entry, image: Tensor, *, trust_code: bool = False) -> Network:
    """Load a model of the zoo as a network of a comparison; raises as `open_model` does."""
    return as_network(open_model(*entry, trust_code=trust_code), image)
