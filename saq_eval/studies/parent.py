"""The full-precision network that is to be quantized: found in a zoo, or added to it first."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from torch import nn

from saq_eval.core.errors import SaqEvalError
from saq_eval.data import Geometry, open_images
from saq_eval.data.classes import folded, read_classes
from saq_eval.networks.preprocessing import Preprocessing
from saq_eval.studies.driver import check_parent
from saq_eval.training.recipes import Recipe
from saq_eval.zoo import add_source, find_model, load_training_form, open_model
from saq_eval.zoo.cards import ArchitectureCard, Card


@dataclass(frozen=True, eq=False)
class Source:
    """A full-precision network to quantize, and what its child's card says of it.

    Attributes:
        name: its name, which its child's card gives as the parent.
        network: the network, in training form or frozen; it reads pixels that `preprocessing` has normalised. It is not
            changed.
        architecture: what the network is built from, so that the child can be loaded.
        preprocessing: the normalisation of the pixels.
        seed: the seed of its training, if that is known.
        recipe: the recipe of its training; `None` for a network trained elsewhere.
        sha256: SHA-256 of its stored training form; `None` if there is none.
        geometry: how pictures are brought to one size for it; `None` if they have one size.
        classes: the names of its outputs; `None` if they are the dataset's classes in order.
    """

    name: str
    network: nn.Module
    architecture: ArchitectureCard
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    seed: int = 0
    recipe: Recipe | None = None
    sha256: str | None = None
    geometry: Geometry | None = None
    classes: tuple[str, ...] | None = None


def find_source(
    dataset: str,
    parent: str,
    *,
    size: int | None = None,
    crop: int | None = None,
    classes: str | os.PathLike | None = None,
    zoo: str | os.PathLike | None = None,
    data_root: str | os.PathLike | None = None,
    trust_code: bool = False,
) -> Source:
    """Return the network that a text names, from a zoo; for the arguments see `post_training.quantize_model`.

    Raises:
        SaqEvalError: as `find_model` or `add_source` does; a network that is not of full precision; or a size, a crop or
            classes that contradict the network's card.
    """
    geometry = None if size is None and crop is None else Geometry(size, crop)
    name, equals, text = (part.strip() for part in parent.partition("="))
    outside = equals and ":" not in name  # else the "=" is a part of a source that has no name
    if outside:
        add_source(
            dataset,
            name,
            text,
            geometry=geometry,
            classes=classes,
            zoo=zoo,
            data_root=data_root,
            trust_code=trust_code,
        )
    card, folder = find_model(dataset, name if outside else parent, zoo)
    check_parent(card, card.architecture)
    own_geometry = card.geometry if geometry is None else _agreed_geometry(card, geometry)
    own_classes = card.classes if classes is None else _agreed_classes(card, classes, dataset, data_root, own_geometry)
    if card.training_form_sha256 is not None:
        network: nn.Module = load_training_form(card, folder, trust_code=trust_code)
    else:
        network = open_model(card, folder, trust_code=trust_code).frozen
    about = (card.architecture, card.preprocessing, card.seed, card.recipe, card.training_form_sha256)
    return Source(card.name, network, *about, own_geometry, own_classes)


def _agreed_geometry(card: Card, given: Geometry) -> Geometry:
    """Return the card's geometry, or the given one if the card has none; raises `SaqEvalError` unless they agree."""
    own = card.geometry
    if own is None:
        _, height, width = card.image_shape
        agree, said = (height, width) == (given.side, given.side), f"{width}x{height} pixels"
    else:
        agree, said = own.side == given.side and given.size in (own.size, None), _sides(own)
    if not agree:
        raise SaqEvalError(
            f"the zoo's {card.name} takes pictures of {said}, and {_sides(given)} is asked for: leave out size and crop, or "
            "add the network under another name, by NAME=SOURCE"
        )
    return own or given


def _sides(geometry: Geometry) -> str:
    return f"size {geometry.size}, crop {geometry.side}" if geometry.size is not None else f"crop {geometry.side}"


def _agreed_classes(
    card: Card,
    given: str | os.PathLike,
    dataset: str,
    data_root: str | os.PathLike | None,
    geometry: Geometry | None,
) -> tuple[str, ...]:
    """Return the card's names of outputs, or the given ones if the card has none; raises `SaqEvalError` unless they agree.

    A card without names means the dataset's classes in order, so names agree with it that leave the labels as they are.
    """
    names = read_classes(given)
    if card.classes is None:
        images = open_images(dataset, "test", data_root, geometry=geometry)
        own, agree = images.class_names, images.with_classes(names).labels.equal(images.labels)
    else:
        own, agree = card.classes, [*map(folded, names)] == [*map(folded, card.classes)]
    if not agree:
        raise SaqEvalError(
            f"the outputs of the zoo's {card.name} are {_first(own)}, and not {_first(names)} as in {given}: leave out "
            "classes, or add the network under another name, by NAME=SOURCE"
        )
    return card.classes or names


def _first(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
