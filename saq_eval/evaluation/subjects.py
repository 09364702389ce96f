"""The networks that a plan names, in the zoo and outside it, and the images that suit them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import nn

from saq_eval.core.errors import SaqEvalError
from saq_eval.data import DATASETS, Dataset, Images, Split, open_images
from saq_eval.data.geometry import Geometry
from saq_eval.evaluation.plan import Plan
from saq_eval.networks.batches import ONE_BY_ONE
from saq_eval.networks.channels import channels_for
from saq_eval.networks.given import given_networks
from saq_eval.networks.network import Network
from saq_eval.networks.preprocessing import Preprocessing
from saq_eval.networks.private import readable_in_batches
from saq_eval.zoo import check_reads, find_model
from saq_eval.zoo.networks import Found, open_network
from saq_eval.zoo.outside import in_brackets

T = TypeVar("T")


def outside_networks(plan: Plan) -> dict[str, Network]:
    """Return a plan's networks outside the zoo, by name; raises as `given_networks` does."""
    preprocessing = None
    if plan.mean is not None and plan.std is not None:
        preprocessing = Preprocessing(tuple(plan.mean), tuple(plan.std))
    models = {name: _zoo_model(given, plan) or given for name, given in plan.outside.items()}
    return given_networks(models, preprocessing, trust_code=plan.trust_code)


def _zoo_model(given: Any, plan: Plan) -> Network | None:
    """Return the zoo model that a text names, "cnn-fp32" or "digits/cnn-fp32"; `None` for a source or an object."""
    if not isinstance(given, str) or ":" in given:
        return None
    dataset, slash, name = given.rpartition("/")
    if not slash and not isinstance(plan.dataset, str):
        raise SaqEvalError(
            f"{given!r}{in_brackets(given)}: write a zoo model as DATASET/NAME, since the images are no data set with a name"
        )
    try:
        entry = find_model(dataset if slash else plan.dataset, name, plan.zoo)
    except SaqEvalError as error:
        if not slash:
            raise
        raise SaqEvalError(f"{given!r} is no zoo model{in_brackets(given)}: {error}") from error
    network = open_network(entry, torch.zeros(1, *entry[0].image_shape), trust_code=plan.trust_code)
    return replace(network, preprocessing=Preprocessing())  # its module has its own before it already


def with_channels(network: Network, sample: Dataset) -> Network:
    """Return a network that reads grey images as colour images, or the reverse, if it does not read them as they are."""
    module = cast(nn.Module, network.module)
    channels = channels_for(module, sample.images[:1])
    if channels is None:
        return network
    return replace(network, module=nn.Sequential(channels, module).eval(), reads=(*network.reads, channels.how))


def zoo_dataset(plan: Plan) -> str:
    """Return the name by which models for a plan's images are looked up in a zoo: the plan's text, or the images' own name."""
    return plan.dataset if isinstance(plan.dataset, str) else open_images(plan.dataset).name


def open_checked(name: str, entry: Found, sample: Dataset, *, trust_code: bool) -> Network:
    """Return a network, loaded if it is a model of the zoo, that is known to read the images.

    Raises:
        SaqEvalError: as `open_network`, `check_network` and `check_reads` do.
    """
    network = with_channels(open_network(entry, sample.images[:1], trust_code=trust_code), sample)
    if isinstance(entry, Network):
        return check_network(network, sample)
    check_reads(name, cast(nn.Module, network.module), sample)
    return network


def check_network(network: Network, sample: Dataset) -> Network:
    """Pass an image through a network outside the zoo, and return a network that reads the images of a batch apart.

    The network itself is changed in place so that it reads the image, if it can.

    Raises:
        SaqEvalError: a network that cannot read the images, whose logits are not finite or depend on other images or on
            chance, or whose outputs are not the images' classes.
    """
    given = cast(nn.Module, network.module)
    try:
        module, facts = readable_in_batches(given, sample.images[:1], sample.labels[:1], 2)
    except SaqEvalError as error:
        raise SaqEvalError(f"the network {network.name!r}: {error}") from error
    classes = len(sample.class_names)
    numbered = sample.class_names == tuple(map(str, range(classes)))  # the labels are the outputs' places
    if facts.classes < classes or (facts.classes > classes and not numbered):
        raise SaqEvalError(
            f"the network {network.name!r} has {facts.classes} outputs and {sample.name} {classes} classes: name its outputs "
            "in a file, one per line (--classes), and the images' classes are matched by name"
        )
    return network if module is given else replace(network, module=module, reads=(*network.reads, ONE_BY_ONE))


@dataclass(frozen=True)
class Expected:
    """The images that networks expect.

    Attributes:
        geometry: by network that states one, how pictures are brought to one size.
        sizes: by network that reads images of one size only, height and width.
        classes: by network that brings them, the names of its outputs.
    """

    geometry: dict[str, Geometry]
    sizes: dict[str, tuple[int, int]]
    classes: dict[str, tuple[str, ...]]


def expectations(entries: Mapping[str, Found]) -> Expected:
    """Return what the networks of a comparison expect of its images."""
    known = {name: found if isinstance(found, Network) else found[0] for name, found in entries.items()}
    return Expected(
        # A crop that is not given is the size, so both forms are one geometry.
        {
            name: replace(each.geometry, crop=each.geometry.side)
            for name, each in known.items()
            if each.geometry is not None
        },
        {name: e.input_size for name, e in entries.items() if isinstance(e, Network) and e.input_size is not None},
        {name: each.classes for name, each in known.items() if each.classes is not None},
    )


def typical_images(plan: Plan, expected: Expected, test_set: Images, sample: Dataset) -> Images:
    """Return the images that background images are drawn from: training images, else test images outside the sample."""
    if isinstance(plan.dataset, str):
        try:
            return open_images_for(plan, expected, "train")
        except SaqEvalError:
            if plan.dataset in DATASETS:
                raise
    assert sample.positions is not None  # a sample always has them
    others = np.setdiff1d(np.arange(len(test_set)), sample.positions.numpy())
    if not len(others):
        raise SaqEvalError("a method compares with typical images, and all images are explained: take fewer samples")
    return test_set.subset(others)


def open_images_for(plan: Plan, expected: Expected, split: Split = "test") -> Images:
    """Open a plan's images, in the size and with the classes that the networks expect, unless the plan gives others.

    Where no network states how pictures are brought to one size, that of a network that reads one size only counts.

    Raises:
        SaqEvalError: images that cannot be opened, networks that state different sizes or classes, or images of another size
            than the only one that a network reads.
    """
    given = plan.size is not None or plan.crop is not None
    geometry = (
        Geometry(plan.size, plan.crop) if given else _agreed("sizes of pictures", expected.geometry, "--size, --crop")
    )
    geometry = geometry or _fitting(expected.sizes)
    classes = _agreed("names of outputs", expected.classes, "--classes") if plan.classes is None else plan.classes
    images = open_images(
        plan.dataset,
        split,
        plan.data_root,
        geometry=geometry if given or isinstance(plan.dataset, str) else None,
        masks=plan.masks if split == "test" else "none",
        boxes=plan.boxes if split == "test" else None,
        classes=classes,
    )
    _check_sizes(expected.sizes, images)
    return images


def _fitting(sizes: Mapping[str, tuple[int, int]]) -> Geometry | None:
    """Return the geometry for networks that read images of one size only; `None` if that is no square, or not the same."""
    sides = {side for size in sizes.values() for side in size}
    side = sides.pop() if len(sides) == 1 else None
    return None if side is None else Geometry(side, side)


def _check_sizes(sizes: Mapping[str, tuple[int, int]], images: Images) -> None:
    _, height, width = images.image_shape if sizes else (0, 0, 0)
    for name, size in sizes.items():
        if size != (height, width):
            raise SaqEvalError(
                f"the network {name!r} reads images of {size[1]}x{size[0]} pixels only, and those of {images.name} have "
                f"{width}x{height} for this comparison: say a size that all networks read (--size, --crop)"
            )


def _agreed(what: str, known: Mapping[str, T], options: str) -> T | None:
    """Return a fact that all networks that know it agree on; `None` if none knows it."""
    first = next(iter(known), "")
    for name, value in known.items():
        if value != known[first]:
            raise SaqEvalError(f"{name} and {first} expect different {what}; say which hold for all ({options})")
    return known.get(first)
