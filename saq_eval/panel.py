"""One image's maps side by side: a picture to look at, not to measure on."""

from __future__ import annotations

import itertools
import math
import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure, SubFigure

from saq_eval.attribution import Explainer, explain, find_explainers
from saq_eval.attribution.background import background_images
from saq_eval.core.devices import pick_device
from saq_eval.core.errors import SaqEvalError, SaqEvalWarning
from saq_eval.core.paths import user_path
from saq_eval.core.randomness import check_seed
from saq_eval.data.datasets import load_dataset
from saq_eval.metrics.maps import is_degenerate, largest_magnitudes
from saq_eval.networks.inference import predict
from saq_eval.zoo import check_reads, find_models, open_model
from saq_eval.zoo.cards import Card, twin

MOST = 24  # networks in one picture; more of them cannot be told apart
# In inches, at 120 pixels each: what fits a screen, a network's name, title and headings, and a picture.
_SCREEN, _NAME, _HEAD, _LARGEST, _SMALLEST = (13.3, 8.3), 1.2, 0.9, 1.6, 0.4


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
    """Write one PNG: the image, then a row per model, a column per method; in blocks side by side, to fill a screen.

    Networks that differ in the seed alone stand below each other. More than `MOST` networks are not drawn, but warned
    of; only what is drawn is loaded. Signed maps run from blue (speaks against the class) over white to red (for it),
    each over its own largest magnitude; absolute ones from white to red.

    Args:
        dataset: a registered name.
        index: the image's position in the test set.
        models: names or shell patterns.
        methods: as for `saq_eval.compare`.
        target: the class explained, an index; by default the image's label.
        seed: of random methods.
        output: the file to write, its name ending in `.png`.

    Returns:
        The file's path.

    Raises:
        SaqEvalError: an unknown name, an index or class that there is not, a network that has a layer for
            which a method has no rule, or a file that cannot be written.
    """
    path = user_path(output)
    if path.suffix.lower() != ".png":
        raise SaqEvalError(f"the panel is a PNG file: give it a name that ends in .png, not {path.name!r}")
    check_seed(seed)
    explainers = find_explainers(methods)
    torch_device = pick_device(device)
    entries = find_models(dataset, list(models), zoo)
    test_set = load_dataset(dataset, "test", data_root)
    if not 0 <= index < len(test_set):
        raise SaqEvalError(f"--index lies between 0 and {len(test_set) - 1} for {dataset}'s test set, not {index}")
    if target is not None and not 0 <= target < len(test_set.class_names):
        raise SaqEvalError(f"--target lies between 0 and {len(test_set.class_names) - 1} for {dataset}, not {target}")
    item = test_set.subset(np.array([index]))
    targets = item.labels if target is None else item.labels * 0 + target
    background = background_images(explainers, dataset, seed, data_root)

    groups: dict[str, list[tuple[Card, Path]]] = {}
    for entry in entries:
        groups.setdefault(repr(twin(entry[0])), []).append(entry)
    ordered = list(itertools.chain.from_iterable(groups.values()))
    if len(ordered) > MOST:
        warnings.warn(
            f"the panel shows {MOST} of {len(ordered)} networks; choose them by name or pattern, as in --models "
            f"'{ordered[0][0].name},{ordered[-1][0].name}'",
            SaqEvalWarning,
            stacklevel=2,
        )
    rows: list[tuple[str, list[np.ndarray]]] = []
    for card, folder in ordered[:MOST]:
        network = open_model(card, folder, trust_code=trust_code).network
        check_reads(card.name, network, test_set)
        network = network.to(torch_device)
        predicted = int(predict(network, item.images, 1).argmax())
        maps = [
            explain(
                explainer,
                network,
                item.images.to(torch_device),
                targets.to(torch_device),
                indices=[index],
                seed=seed,
                background=background,
            ).numpy()[0]
            for explainer in explainers
        ]
        rows.append((f"{card.name}\n→ {test_set.class_names[predicted]}", maps))
    title = f"{dataset} test image {index}: {test_set.class_names[int(item.labels[0])]}"
    if target is not None:
        title += f", explained for {test_set.class_names[target]}"
    return _write(_draw(item.images.numpy()[0], title, rows, explainers), path)


def _draw(
    image: np.ndarray, title: str, rows: list[tuple[str, list[np.ndarray]]], explainers: list[Explainer]
) -> Figure:
    blocks, tile = _layout(len(rows), len(explainers) + 1)
    length = math.ceil(len(rows) / blocks)
    width = blocks * (tile * (len(explainers) + 1) + _NAME)
    figure = Figure(figsize=(max(width, 3), tile * length + _HEAD), layout="constrained")
    figure.suptitle(title, fontsize=10)
    parts = figure.subfigures(1, blocks, squeeze=False)[0]
    for number, part in enumerate(parts):
        _draw_block(part, image, rows[number * length : (number + 1) * length], length, explainers)
    return figure


def _layout(rows: int, columns: int) -> tuple[int, float]:
    """Return into how many blocks side by side rows of so many pictures go, and a picture's size in inches.

    The pictures are as large as the screen lets them be.
    """

    def size(blocks: int) -> float:
        return min((_SCREEN[0] / blocks - _NAME) / columns, (_SCREEN[1] - _HEAD) / math.ceil(rows / blocks), _LARGEST)

    # Blocks that are not needed would stay empty.
    fitting = [blocks for blocks in range(1, rows + 1) if math.ceil(rows / math.ceil(rows / blocks)) == blocks]
    best = max(fitting, key=lambda blocks: (size(blocks), -blocks))
    return best, max(size(best), _SMALLEST)


def _draw_block(
    figure: SubFigure,
    image: np.ndarray,
    rows: list[tuple[str, list[np.ndarray]]],
    length: int,
    explainers: list[Explainer],
) -> None:
    axes = figure.subplots(length, len(explainers) + 1, squeeze=False)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    for axis in axes[len(rows) :].flat:
        axis.set_visible(False)
    for row, (name, maps) in enumerate(rows):
        axes[row, 0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
        pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
        axes[row, 0].imshow(pixels, cmap="gray", vmin=0, vmax=1)
        for axis, values in zip(axes[row, 1:], maps, strict=True):
            if is_degenerate(values[None])[0]:
                axis.text(0.5, 0.5, "constant", ha="center", va="center", transform=axis.transAxes, fontsize=8)
                continue
            largest = largest_magnitudes(values[None]).item()
            axis.imshow(values, cmap="RdBu_r", vmin=-largest, vmax=largest)
    axes[0, 0].set_title("image", fontsize=8)
    for axis, explainer in zip(axes[0, 1:], explainers, strict=True):
        axis.set_title(explainer.label.replace("_", "_\n").replace(":", ":\n").replace(",", ",\n"), fontsize=7)


def _write(figure: Figure, path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".partial-") as partial:
            fresh = Path(partial) / "panel.png"
            figure.savefig(fresh, dpi=120, bbox_inches="tight", metadata={"Software": None})
            return fresh.replace(path)
    except OSError as error:
        raise SaqEvalError(f"the panel {path} cannot be written: {error.strerror}") from error
