"""One image's maps side by side, as a picture for looking at, not for measuring."""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from saq_eval.attribution import Explainer, explain, find_explainers
from saq_eval.attribution.background import background_images
from saq_eval.core.devices import pick_device
from saq_eval.core.errors import SaqEvalError, SaqEvalWarning, Unsupported, shortened
from saq_eval.core.paths import user_path
from saq_eval.core.printing import prints_held_back
from saq_eval.data import Dataset, Images
from saq_eval.evaluation.plan import USUAL, Plan
from saq_eval.evaluation.subjects import (
    expectations,
    open_checked,
    open_images_for,
    outside_networks,
    typical_images,
    zoo_dataset,
)
from saq_eval.networks.inference import predict
from saq_eval.networks.network import Network
from saq_eval.reporting.panel import Row, draw_maps, write_png
from saq_eval.zoo.cards import twin
from saq_eval.zoo.networks import Found, asked_for

MOST = 24  # networks in one picture; more of them cannot be told apart


def draw_panel(plan: Plan, index: int, *, target: int | None = None, output: str | os.PathLike) -> Path:
    """Write a PNG of an image and its maps: a row per model, a column per method, in blocks side by side to fill a screen.

    Networks that differ only in the seed are below each other. At most `MOST` networks are drawn, and no other models of
    the zoo are loaded; if there are more, a warning says so. Signed maps are drawn from blue (against the class) over white
    to red (for the class), each scaled by its own largest magnitude. Absolute maps are drawn from white to red. Where a
    network cannot be explained by a method, the picture says so, and a warning gives the reason.

    Args:
        plan: the images, the networks, the methods, and where they come from. Unlike `saq_eval.compare`, no baseline is
            added to the networks. Metrics, the number of images and the folder of a report mean nothing here.
        index: the image's position in the test set.
        target: the index of the class to explain; by default the image's label.
        output: the file to write; its name has to end in `.png`.

    Returns:
        The file's path.

    Raises:
        SaqEvalError: an unknown name, an index or class that does not exist, a network that does not read the images,
            networks that no method can explain, or a file that cannot be written.
    """
    path = user_path(output)
    if path.suffix.lower() != ".png":
        raise SaqEvalError(f"the panel is a PNG file: give it a name that ends in .png, not {path.name!r}")
    explainers = find_explainers(plan.methods if plan.methods is not None else USUAL["methods"])
    device = pick_device(plan.device)
    outside = outside_networks(plan)
    models = asked_for(zoo_dataset(plan), plan.zoo_models, plan.zoo, outside)
    entries = _few({**{card.name: (card, folder) for card, folder in models}, **outside})
    expected = expectations(entries)
    test_set = open_images_for(plan, expected)
    _check_place(test_set, index, target)
    item = replace(test_set.subset(np.array([index])).in_memory(), positions=torch.tensor([index]))
    background = background_images(explainers, lambda: typical_images(plan, expected, test_set, item), plan.seed)

    targets = (item.labels if target is None else torch.tensor([target])).to(device)
    drawn = {"indices": item.indices.tolist(), "seed": plan.seed, "background": background}
    rows: list[Row] = []
    holes: dict[tuple[str, str], Unsupported] = {}
    for name, entry in entries.items():
        with prints_held_back():
            network = cast(nn.Module, open_checked(name, entry, item, trust_code=plan.trust_code).module).to(device)
            maps = _maps(network, item.images.to(device), targets, explainers, drawn)
            row_name = _row_name(name, network, item)
        rows.append((row_name, [None if isinstance(m, Unsupported) else m for m in maps.values()]))
        holes |= {(name, method): m for method, m in maps.items() if isinstance(m, Unsupported)}
    headings = [explainer.label for explainer in explainers]
    _check_holes(holes, len(rows) * len(headings))
    return write_png(draw_maps(item.images.numpy()[0], _title(item, index, target), rows, headings), path)


def _check_place(test_set: Images, index: int, target: int | None) -> None:
    if not 0 <= index < len(test_set):
        raise SaqEvalError(
            f"--index lies between 0 and {len(test_set) - 1} for {test_set.name}'s test set, not {index}"
        )
    last = len(test_set.class_names) - 1
    if target is not None and not 0 <= target <= last:
        raise SaqEvalError(f"--target lies between 0 and {last} for {test_set.name}, not {target}")


def _few(entries: Mapping[str, Found]) -> dict[str, Found]:
    """Return the networks to draw, with those that differ only in the seed together; warn if some are left out."""
    groups: dict[str, list[str]] = {}
    for name, entry in entries.items():
        groups.setdefault(entry.kin if isinstance(entry, Network) else str(twin(entry[0])), []).append(name)
    ordered = list(itertools.chain.from_iterable(groups.values()))
    if len(ordered) > MOST:
        warnings.warn(
            f"the panel shows {MOST} of {len(ordered)} networks; choose them by name or pattern, as in --models "
            f"'{ordered[0]},{ordered[-1]}'",
            SaqEvalWarning,
            stacklevel=3,
        )
    return {name: entries[name] for name in ordered[:MOST]}


def _maps(
    network: nn.Module, images: Tensor, targets: Tensor, explainers: Sequence[Explainer], drawn: dict[str, Any]
) -> dict[str, np.ndarray | Unsupported]:
    """Return one image's maps by method, float32 (h, w), or why there is none.

    Args:
        network: a network on the device of `images`.
        images: float32 (1, c, h, w).
        targets: int64 (1,), the class to explain.
        drawn: further arguments of `explain`: indices, seed and background.
    """
    maps: dict[str, np.ndarray | Unsupported] = {}
    for explainer in explainers:
        try:
            maps[explainer.label] = explain(explainer, network, images, targets, **drawn).numpy()[0]
        except Unsupported as error:
            maps[explainer.label] = error
    return maps


def _check_holes(holes: Mapping[tuple[str, str], Unsupported], cells: int) -> None:
    """Warn of the maps that do not exist, by network and method; raise the first reason if none of all `cells` does."""
    if len(holes) == cells:
        raise next(iter(holes.values()))
    lacking: dict[tuple[str, str], list[str]] = {}
    for (name, method), hole in holes.items():
        lacking.setdefault((name, hole.reason), []).append(method)
    for (name, reason), methods in lacking.items():
        warnings.warn(f"{name} has no map by {shortened(methods)}: {reason}", SaqEvalWarning, stacklevel=3)


def _row_name(name: str, network: nn.Module, item: Dataset) -> str:
    """Return a row's text: the network's name and the class that it predicts for the image of `item`."""
    predicted = int(predict(network, item.images, 1).argmax())
    known = predicted < len(item.class_names)  # a network may have more outputs than the images have classes
    return f"{name}\n→ {item.class_names[predicted] if known else predicted}"


def _title(item: Dataset, index: int, target: int | None) -> str:
    title = f"{item.name} test image {index}: {item.class_names[int(item.labels[0])]}"
    return title if target is None else f"{title}, explained for {item.class_names[target]}"
