"""A picture of an image and its maps, for looking at, not for measuring."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure, SubFigure

from saq_eval.core.errors import SaqEvalError
from saq_eval.metrics.maps import is_degenerate, largest_magnitudes

Row = tuple[str, Sequence[np.ndarray | None]]

# Sizes in inches of 120 pixels: a screen, a network's name, title and headings, the largest and the smallest picture.
_SCREEN, _NAME, _HEAD, _LARGEST, _SMALLEST = (13.3, 8.3), 1.2, 0.9, 1.6, 0.4


def draw_maps(image: np.ndarray, title: str, rows: Sequence[Row], headings: Sequence[str]) -> Figure:
    """Draw an image and its maps, with a row per network and a column per method, in blocks side by side to fill a screen.

    Signed maps are drawn from blue (negative) over white to red (positive), each scaled by its own largest magnitude. Maps
    without negative values are drawn from white to red. A map that is constant or not finite is not drawn; the text
    "constant" takes its place, and "no map" that of a map that does not exist.

    Args:
        image: float (c, h, w) in [0, 1], one or three channels.
        title: the title above the figure.
        rows: for each network, the text at the left of its row, and its maps, float (h, w) or `None`, one per heading.
        headings: the methods.
    """
    blocks, tile = layout(len(rows), len(headings) + 1)
    length = math.ceil(len(rows) / blocks)
    width = blocks * (tile * (len(headings) + 1) + _NAME)
    figure = Figure(figsize=(max(width, 3), tile * length + _HEAD), layout="constrained")
    figure.suptitle(title, fontsize=10)
    parts = figure.subfigures(1, blocks, squeeze=False)[0]
    for number, part in enumerate(parts):
        _draw_block(part, image, rows[number * length : (number + 1) * length], length, headings)
    return figure


def layout(rows: int, columns: int) -> tuple[int, float]:
    """Return the number of blocks side by side, and the size of a picture in inches.

    The pictures are as large as the screen allows.

    Args:
        rows: the number of networks.
        columns: the number of pictures in a row.
    """

    def size(blocks: int) -> float:
        return min((_SCREEN[0] / blocks - _NAME) / columns, (_SCREEN[1] - _HEAD) / math.ceil(rows / blocks), _LARGEST)

    # Numbers of blocks that would leave a block empty are left out.
    fitting = [blocks for blocks in range(1, rows + 1) if math.ceil(rows / math.ceil(rows / blocks)) == blocks]
    best = max(fitting, key=lambda blocks: (size(blocks), -blocks))
    return best, max(size(best), _SMALLEST)


def _draw_block(
    figure: SubFigure,
    image: np.ndarray,
    rows: Sequence[Row],
    length: int,
    headings: Sequence[str],
) -> None:
    axes = figure.subplots(length, len(headings) + 1, squeeze=False)
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
            if values is None or is_degenerate(values[None])[0]:
                said = "no map" if values is None else "constant"
                axis.text(0.5, 0.5, said, ha="center", va="center", transform=axis.transAxes, fontsize=8)
                continue
            largest = largest_magnitudes(values[None]).item()
            axis.imshow(values, cmap="RdBu_r", vmin=-largest, vmax=largest)
    axes[0, 0].set_title("image", fontsize=8)
    for axis, heading in zip(axes[0, 1:], headings, strict=True):
        axis.set_title(heading.replace("_", "_\n").replace(":", ":\n").replace(",", ",\n"), fontsize=7)


def write_png(figure: Figure, path: Path) -> Path:
    """Write a figure as a PNG file, completely or not at all, and return the path.

    Raises:
        SaqEvalError: if the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".partial-") as partial:
            fresh = Path(partial) / "panel.png"
            figure.savefig(fresh, dpi=120, bbox_inches="tight", metadata={"Software": None})
            return fresh.replace(path)
    except OSError as error:
        raise SaqEvalError(f"the panel {path} cannot be written: {error.strerror}") from error
