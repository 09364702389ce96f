"""One image's maps side by side, as a picture for looking at, not for measuring."""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from saq_eval.attribution import Explainer, explain, find_explainers
from saq_eval.attribution.background import background_images
from saq_eval.core.devices import pick_device
from saq_eval.core.errors import SaqEvalError, SaqEvalWarning
from saq_eval.core.paths import user_path
from saq_eval.core.randomness import check_seed
from saq_eval.data import Dataset, load_dataset
from saq_eval.networks.inference import predict
from saq_eval.reporting.panel import Row, draw_maps, write_png
from saq_eval.zoo import check_reads, find_models, open_model
from saq_eval.zoo.cards import Card, twin

MOST = 24  # networks in one picture; more of them cannot be told apart


def draw_panel(
    dataset: str,
    index: int,
    *,
    models: Sequence[str] = ("*",),
    methods: Sequence[str] = ("standard",),
    target: int | None = None,
    seed: int = 0,
    device: str = "auto",
    data_root: str | os.PathLike | None = None,
    zoo: str | os.PathLike | None = None,
    trust_code: bool = False,
    output: str | os.PathLike,
) -> Path:
    """Write a PNG of an image and its maps: a row per model, a column per method, in blocks side by side to fill a screen.

    Networks that differ only in the seed are below each other. At most `MOST` networks are loaded and drawn; if there are
    more, a warning says so. Signed maps are drawn from blue (against the class) over white to red (for the class), each
    scaled by its own largest magnitude. Absolute maps are drawn from white to red.

    Args:
        dataset: a registered name.
        index: the image's position in the test set.
        models: names or shell patterns.
        methods: as in `saq_eval.compare`.
        target: the index of the class to explain; by default the image's label.
        seed: the seed of random methods.
        output: the file to write; its name has to end in `.png`.

    Returns:
        The file's path.

    Raises:
        SaqEvalError: an unknown name, an index or class that does not exist, a network with a layer that a method has no
            rule for, or a file that cannot be written.
    """
    path = user_path(output)
    if path.suffix.lower() != ".png":
        raise SaqEvalError(f"the panel is a PNG file: give it a name that ends in .png, not {path.name!r}")
    check_seed(seed)
    explainers = find_explainers(methods)
    torch_device = pick_device(device)
    entries = find_models(dataset, list(models), zoo)
    test_set = load_dataset(dataset, "test", data_root).in_memory()
    _check_place(test_set, index, target)
    background = background_images(explainers, lambda: load_dataset(dataset, "train", data_root), seed)

    item = test_set.subset(np.array([index]))
    targets = (item.labels if target is None else torch.tensor([target])).to(torch_device)
    drawn = {"indices": [index], "seed": seed, "background": background}
    rows: list[Row] = []
    for card, folder in _few(entries):
        network = open_model(card, folder, trust_code=trust_code).network
        check_reads(card.name, network, test_set)
        rows.append(_row(card.name, network.to(torch_device), item, targets, explainers, drawn))
    headings = [explainer.label for explainer in explainers]
    return write_png(draw_maps(item.images.numpy()[0], _title(item, index, target), rows, headings), path)


def _check_place(test_set: Dataset, index: int, target: int | None) -> None:
    if not 0 <= index < len(test_set):
        raise SaqEvalError(
            f"--index lies between 0 and {len(test_set) - 1} for {test_set.name}'s test set, not {index}"
        )
    last = len(test_set.class_names) - 1
    if target is not None and not 0 <= target <= last:
        raise SaqEvalError(f"--target lies between 0 and {last} for {test_set.name}, not {target}")


def _few(entries: list[tuple[Card, Path]]) -> list[tuple[Card, Path]]:
    """Return the networks to draw, with those that differ only in the seed together; warn if some are left out."""
    groups: dict[str, list[tuple[Card, Path]]] = {}
    for entry in entries:
        groups.setdefault(repr(twin(entry[0])), []).append(entry)
    ordered = list(itertools.chain.from_iterable(groups.values()))
    if len(ordered) > MOST:
        warnings.warn(
            f"the panel shows {MOST} of {len(ordered)} networks; choose them by name or pattern, as in --models "
            f"'{ordered[0][0].name},{ordered[-1][0].name}'",
            SaqEvalWarning,
            stacklevel=3,
        )
    return ordered[:MOST]


def _row(
    name: str,
    network: nn.Module,
    item: Dataset,
    targets: Tensor,
    explainers: Sequence[Explainer],
    drawn: dict[str, Any],
) -> Row:
    """Return a row's text, which is the network's name and the class that it predicts, and the maps of one image.

    Args:
        network: a network on the device of `targets`.
        item: a dataset with only this image.
        targets: int64 (1,), the class to explain.
        drawn: further arguments of `explain`: indices, seed and background.
    """
    predicted = int(predict(network, item.images, 1).argmax())
    images = item.images.to(targets.device)
    maps = [explain(explainer, network, images, targets, **drawn).numpy()[0] for explainer in explainers]
    return f"{name}\n→ {item.class_names[predicted]}", maps


def _title(item: Dataset, index: int, target: int | None) -> str:
    title = f"{item.name} test image {index}: {item.class_names[int(item.labels[0])]}"
    return title if target is None else f"{title}, explained for {item.class_names[target]}"
