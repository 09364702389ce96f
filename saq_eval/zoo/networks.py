"""Turn models of the zoo into the networks of a comparison: choose the models and their baselines, and state their facts."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from saq_eval.core.errors import SaqEvalError, unknown_name
from saq_eval.data import dataset_name
from saq_eval.networks.channels import channels_for
from saq_eval.networks.network import RANDOM_WEIGHTS, UNKNOWN, BitWidths, Network
from saq_eval.quantization.costs import bit_widths, layer_costs
from saq_eval.training.recipes import Recipe
from saq_eval.zoo.cards import Card, is_fine_tuned_twin, twin
from saq_eval.zoo.finding import find_models
from saq_eval.zoo.loading import Model, open_model, random_weights

RETRAINED = 4  # the number of networks of other seeds that each baseline is compared with, if the zoo has them

Entry = tuple[Card, Path]
Found = Entry | Network  # a model of the zoo, or a network outside it


@dataclass(frozen=True)
class Choice:
    """The networks of a comparison by name, those of the zoo in its order and then those outside it.

    Attributes:
        entries: the models' cards and folders, or networks outside the zoo.
        baseline_of: for each model, the model that it is compared with; for a baseline, the baseline itself.
        fine_tuned_of: for each model that has one, its fine-tuned control: the model that was trained further from the same
            baseline in full precision.
        retrained_of: for each baseline, other models that differ from it only in the seed. Some of them may not be among
            `entries`.
    """

    entries: dict[str, Found]
    baseline_of: dict[str, str]
    fine_tuned_of: dict[str, str]
    retrained_of: dict[str, dict[str, Found]]


def choose(
    dataset: str,
    names: Sequence[str] | None,
    baseline: str | None = None,
    zoo: str | os.PathLike | None = None,
    outside: Mapping[str, Network] | None = None,
) -> Choice:
    """Choose models by name, and add all models that they are compared with.

    Args:
        dataset: as for `find_models`.
        names: names or shell patterns; `None` for all models of seed 0, unless there are networks outside the zoo.
        baseline: the model that all models are compared with; by default each model's full-precision parent.
        outside: networks outside the zoo, by name.

    Raises:
        SaqEvalError: an unknown name, no model at all, a name in the zoo and outside it, a model whose parent is not in the
            zoo, or a network outside the zoo of which it is not known what it is compared with.
    """
    outside = outside or {}
    chosen = asked_for(dataset, names, zoo, outside)
    try:
        in_zoo = chosen or (baseline is not None and baseline not in outside)
        everything = find_models(dataset, ["*"], zoo) if in_zoo else []
    except SaqEvalError:
        assert baseline is not None
        # These images have no zoo, so it is none of its models.
        raise unknown_name("network", baseline, outside) from None
    dataset, known = dataset_name(dataset), {card.name: card for card, _ in everything}
    if baseline is not None and baseline not in known and baseline not in outside:
        raise unknown_name(f"{dataset} model", baseline, {**known, **outside})
    baseline_of = _baselines(dataset, [card for card, _ in chosen], baseline, {**known, **outside})
    baseline_of |= {baseline: baseline} if baseline is not None else {}
    baseline_of |= _baselines_outside(outside, baseline, {*baseline_of, *outside})
    fine_tuned_of = {}
    for name, counterpart in list(baseline_of.items()):
        twins = [card.name for card in known.values() if name in known and is_fine_tuned_twin(card, known[name])]
        if twins and counterpart == known[name].parent:
            fine_tuned_of[name] = fine_tuned_of[twins[0]] = twins[0]
            baseline_of[twins[0]] = counterpart
    entries: dict[str, Found] = {card.name: (card, folder) for card, folder in everything if card.name in baseline_of}
    entries |= outside
    baseline_of = {name: baseline_of[name] for name in entries}
    baselines = dict.fromkeys(baseline_of.values())
    return Choice(
        entries,
        baseline_of,
        fine_tuned_of,
        {
            name: _retrained_outside(outside[name], outside)
            if name in outside
            else _retrained(known[name], everything, baselines)
            for name in baselines
        },
    )


def asked_for(
    dataset: str, names: Sequence[str] | None, zoo: str | os.PathLike | None, outside: Mapping[str, Network]
) -> list[Entry]:
    """Return the models of the zoo that are asked for.

    Args:
        dataset: as for `find_models`.
        names: names or shell patterns; `None` for all models of seed 0, unless there are networks outside the zoo.
        outside: networks outside the zoo, by name.

    Raises:
        SaqEvalError: an unknown name, no network at all, or a name in the zoo and outside it.
    """
    if names is None:
        found = [] if outside else find_models(dataset, ["*"], zoo)
        chosen = [(card, folder) for card, folder in found if card.seed == 0]
    else:
        chosen = find_models(dataset, names, zoo) if names else []
    if not chosen and not outside:
        raise SaqEvalError("at least one model is needed")
    twice = [card.name for card, _ in chosen if card.name in outside]
    if twice:
        raise SaqEvalError(
            f"{twice[0]!r} names a model of the zoo and a network outside it; give the latter another name"
        )
    return chosen


def _baselines(
    dataset: str, chosen: Sequence[Card], baseline: str | None, known: Mapping[str, object]
) -> dict[str, str]:
    baseline_of: dict[str, str] = {}
    for card in chosen:
        counterpart = baseline or (card.parent if card.scheme.starts_from_parent else card.name)
        if counterpart is None or counterpart not in known:
            raise SaqEvalError(
                f"the zoo has no full-precision parent {counterpart!r} of {dataset}/{card.name} to compare it with; "
                "name a baseline model"
            )
        baseline_of[card.name] = counterpart
    return baseline_of | {name: name for name in set(baseline_of.values())}


def _baselines_outside(
    outside: Mapping[str, Network], baseline: str | None, compared: Collection[str]
) -> dict[str, str]:
    """Return the baselines of networks outside the zoo: `baseline`, else their parent.

    Without both, a network is a baseline itself if it is known to compute in full precision, if others come from it, or
    if there is no other network.
    """
    parents = {network.parent for network in outside.values()}
    own = [name for name, network in outside.items() if network.full_precision or name in parents or len(compared) == 1]
    baseline_of = {}
    for name, network in outside.items():
        counterpart = baseline or network.parent or (name if name in own else "")
        if not counterpart:
            raise SaqEvalError(
                f"say which network {name!r} is compared with: name one baseline for all (--baseline), or its parent "
                f"(saq_eval.Network(…, parent=…)); the networks: {', '.join(outside)}"
            )
        if counterpart not in compared:
            raise unknown_name("network", counterpart, compared)
        baseline_of[name] = counterpart
    return baseline_of | {name: name for name in baseline_of.values() if name in outside}


def _retrained_outside(network: Network, outside: Mapping[str, Network]) -> dict[str, Found]:
    """Return networks outside the zoo that are known to differ from a baseline only in the seed."""
    return {
        name: other
        for name, other in outside.items()
        if other.kin == network.kin and None not in (other.seed, network.seed) and other.seed != network.seed
    }


def _retrained(card: Card, everything: Sequence[Entry], baselines: Collection[str]) -> dict[str, Found]:
    """Return models that differ from a baseline only in the seed.

    All such models that are baselines too are returned, so that every pair of baselines is compared. Other models of the
    zoo are added until there are `RETRAINED`.
    """
    same = [(c, folder) for c, folder in everything if c.seed != card.seed and twin(c) == twin(card)]
    same.sort(key=lambda entry: (entry[0].name not in baselines, entry[0].seed))
    compared = sum(c.name in baselines for c, _ in same)
    return {c.name: (c, folder) for c, folder in same[: max(RETRAINED, compared)]}


def identity_of(card: Card) -> str:
    """Return a network's identity: a hash of its weights, architecture, scheme and preprocessing."""
    parts = (card.weights_sha256, card.architecture, card.scheme, card.preprocessing)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def as_network(model: Model, image: Tensor, *, trust_code: bool = False) -> Network:
    """Return a loaded model as a network of a comparison.

    Args:
        image: float32 (1, c, h, w); its size decides the number of operations. It may be grey where the network reads colour
            images, and the reverse.
        trust_code: see `saq_eval.zoo.load_model`; it counts when the network with random weights is built.
    """
    card = model.card
    channels = channels_for(model.network, image)
    try:
        layers = layer_costs(model.frozen, card.scheme, image if channels is None else channels(image))
    except SaqEvalError as error:
        raise SaqEvalError(f"{card.name}: {error}") from error
    return replace(
        described(card, bit_widths(layers)),
        module=model.network,
        identity=identity_of(card),
        weights=card.weights_sha256,
        layers=tuple(layers),
        parameters=model.parameters,
        ideal_bytes=model.ideal_bytes,
        file_bytes=model.file_bytes,
        untrained=functools.partial(_untrained, model, trust_code=trust_code),
    )


def described(card: Card, bits: BitWidths) -> Network:
    """Return a network without its module, but with a card's facts; `bits` are the bit widths of its layers."""
    unguided = replace(card, recipe=_unguided(card.recipe), parent_recipe=_unguided(card.parent_recipe))
    return Network(
        _not_loaded,
        name=card.name,
        architecture=card.architecture.name,
        scheme=card.scheme.name,
        weight_bits=bits.weights,
        activation_bits=bits.activations,
        end_bits=bits.ends,
        training=card.training,
        seed=card.seed,
        full_precision=card.scheme.is_full_precision,
        further_trained=card.scheme.starts_from_parent and not card.only_quantized,
        parent=card.parent or UNKNOWN,
        geometry=card.geometry,
        classes=card.classes,
        kin=str(twin(card)),
        kin_but_guidance=None if card.training == "external" else str(twin(unguided)),
    )


def _unguided(recipe: Recipe | None) -> Recipe | None:
    return None if recipe is None else replace(recipe, saliency_guided=None)


def _not_loaded(images: Tensor) -> Tensor:
    raise RuntimeError("this network was described, but not loaded")


def _untrained(model: Model, weights_seed: int, *, trust_code: bool = False) -> Network:
    """Return a full-precision network with a model's architecture, with weights drawn from a seed."""
    card = model.card
    name = f"{card.name} ({RANDOM_WEIGHTS})"
    return replace(
        described(card, BitWidths("32", "32", "32")),
        module=random_weights(model, weights_seed, trust_code=trust_code),
        name=name,
        scheme="fp32",
        training="none",
        kin=name,
        kin_but_guidance=None,
        identity=f"{identity_of(card)}, random weights of seed {weights_seed}",
        weights=f"seed {weights_seed}",
    )


def open_network(entry: Found, image: Tensor, *, trust_code: bool = False) -> Network:
    """Load a model of the zoo as a network of a comparison, or return a network outside it; raises as `open_model` does."""
    if isinstance(entry, Network):
        return entry
    return as_network(open_model(*entry, trust_code=trust_code), image, trust_code=trust_code)
