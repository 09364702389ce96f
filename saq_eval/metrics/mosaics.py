"""Localisation on mosaics: where is the relevance for a class, if only two of four images show that class?

A mosaic (Arias-Duart et al. 2022, arXiv 2109.15035) is a grid of 2x2 test images: two of one class, in known cells, and
two of other classes. A good explanation of that class puts relevance on the first two. A mask of an object may be wrong,
but the cells are certain. Everything in an image that speaks for its class counts, also the background.

**How a network sees a mosaic.** Networks here read images of one size only. So each cell is passed through the network
separately, and the mosaic's logit for a class is the mean of the cells' logits. As in the DiFull setting of Rao et al.
(2022, arXiv 2205.10435), the cells are disconnected: one cell cannot change the relevance in another. In DiFull, the
wiring connects a class only to its own cell; here, the class is read from all four cells, and the network has to tell
them apart. In a cell, the attribution of the mean logit is a quarter of the attribution of the cell's own logit. This
is exact for gradients and for methods that use them pixel by pixel (times input, along a path, guided), and for rules
that pass relevance through a mean in proportion. So the mosaic's map consists of the four maps for the mosaic's class, at
their common scale. For other methods, this map takes the place of a map of the mosaic itself: Grad-CAM's weights would
be averages over the cells, and occlusion's window would move across the borders between cells.

**Which images.** Each image of the task gives one mosaic of its label's class. The mosaic has the image, another image of
the class and two images of other classes, in random cells. The image's own generator draws them from the task's images
in the order of their indices. So mosaics depend on the set of images, but not on their order or on batches. An image has
no mosaic and no score if the task has no other image of its class, or fewer than two images of other classes.

**Cost.** Maps of the task that explain the right class are reused. Two further maps per image are computed, for the cells
of other classes, once for all metrics here.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import quantus
from torch import nn

from saq_eval.core.randomness import derived_seed
from saq_eval.metrics.base import METRICS, Metric, Task
from saq_eval.metrics.maps import Reading, is_degenerate, read
from saq_eval.metrics.passes import MetricPasses

Measure = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Mosaics:
    """One mosaic per image of a task; cells are counted by rows: top left, top right, bottom left, bottom right.

    Attributes:
        members: int64 (n, 4), the cells' images, as positions in the task; −1 if the image has no mosaic.
        of_class: bool (n, 4), true for the two cells that show the mosaic's class.
        maps: float32 (n, 2h, 2w), the cells' maps for the mosaic's class, at their common scale; NaN if the
            image has no mosaic.
    """

    members: np.ndarray
    of_class: np.ndarray
    maps: np.ndarray


_latest: tuple[weakref.ref[Task], Mosaics] | None = None


def mosaics_of(task: Task) -> Mosaics:
    """Return a task's mosaics. They are cached until another task's mosaics are requested."""
    global _latest
    if _latest is None or _latest[0]() is not task:
        _latest = weakref.ref(task), _assemble(task)
    return _latest[1]


def draw_members(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Draw each image's mosaic.

    Returns:
        `members` and `of_class` of `Mosaics`.
    """
    count = len(task.labels)
    members, of_class = np.full((count, 4), -1), np.zeros((count, 4), dtype=bool)
    by_index = np.argsort(task.indices)
    for image, (label, index) in enumerate(zip(task.labels, task.indices, strict=True)):
        alike = task.labels[by_index] == label
        partners, others = by_index[alike & (by_index != image)], by_index[~alike]
        if len(partners) < 1 or len(others) < 2:
            continue
        rng = np.random.default_rng(derived_seed(task.seed, "mosaic", int(index)))
        cells = rng.permutation(4)
        members[image, cells] = [image, rng.choice(partners), *rng.choice(others, 2, replace=False)]
        of_class[image, cells[:2]] = True
    return members, of_class


def tile(cells: np.ndarray) -> np.ndarray:
    """Put four cells together, by rows: (n, 4, h, w) -> (n, 2h, 2w)."""
    count, _, height, width = cells.shape
    return cells.reshape(count, 2, 2, height, width).swapaxes(2, 3).reshape(count, 2 * height, 2 * width)


def _assemble(task: Task) -> Mosaics:
    members, of_class = draw_members(task)
    classes = np.broadcast_to(task.labels[:, None], members.shape)
    cells = np.full((*members.shape, *task.maps.shape[1:]), np.nan, dtype=np.float32)
    drawn = members >= 0
    there = drawn & (task.targets[members] == classes)
    cells[there] = task.maps[members[there]]
    missing = drawn & ~there
    if missing.any():
        # An image may be in several mosaics of one class; its map is computed once.
        pairs, places = np.unique(np.stack([members[missing], classes[missing]]), axis=1, return_inverse=True)
        images, targets = pairs
        maps = task.explain(task.network, task.images[images], targets, task.indices[images])
        cells[missing] = maps[places.reshape(-1)]
    return Mosaics(members, of_class, tile(cells))


def register_mosaic(
    *, reference: str, reads: Literal["positive relevance", "magnitudes"], by_quantus: Measure | None = None
) -> Callable[[Measure], Measure]:
    """Register the decorated function as a metric with the function's name.

    The function is (relevance, of_class) -> scores, float64 (n,), in 0 … 1. Relevance is float64 (n, 2h, 2w), scaled to
    0 … 1 for each mosaic; `of_class` is that of `Mosaics`. The function does not get mosaics whose relevance is degenerate,
    for example because no relevance is positive. Their score is NaN.

    Args:
        reference: the paper.
        reads: how relevance is read from the maps.
        by_quantus: what the function returns, computed by Quantus; see `Metric`.
    """

    def register(measure: Measure) -> Measure:
        METRICS.add(
            measure.__name__,
            Metric(
                name=measure.__name__,
                category="localisation",
                higher_is_better=True,
                range=(0.0, 1.0),
                reference=reference,
                score=functools.partial(_score, measure, reads),
                by_quantus=functools.partial(_score, by_quantus, reads) if by_quantus else None,
                declares=measure,
                resolve=lambda parameters, shape: parameters | {"reads": reads},
                needs=("mosaics", "explanations"),
                random=True,
                # Of the two cells of other classes. Cells of several mosaics that are equal are explained once.
                passes=lambda settings, shape: MetricPasses(maps={"cells of mosaics": 2}),
                chance=lambda task: np.full(len(task.maps), 0.5),  # the class fills half of a mosaic
            ),
        )
        return measure

    return register


def _score(measure: Measure, reads: Reading, task: Task) -> np.ndarray:
    """Return a measure of the task's mosaics, float64 (n,)."""
    mosaics = mosaics_of(task)
    relevance = read(reads, mosaics.maps)
    usable = ~is_degenerate(relevance)
    scores = np.full(len(relevance), np.nan)
    if usable.any():
        scores[usable] = measure(relevance[usable], mosaics.of_class[usable])
    return scores


def _focus_by_quantus(relevance: np.ndarray, of_class: np.ndarray) -> np.ndarray:
    scores = quantus.Focus(normalise=False, return_aggregate=False, disable_warnings=True)(
        model=nn.Identity(),  # Quantus needs a model here, but does not use it
        x_batch=relevance[:, None],
        y_batch=np.zeros(len(relevance), dtype=np.int64),
        a_batch=relevance[:, None],
        custom_batch=of_class,
        channel_first=True,
        batch_size=len(relevance),
    )
    return np.asarray(scores, dtype=np.float64)


@register_mosaic(
    reference="Arias-Duart et al. 2022, arXiv 2109.15035", reads="positive relevance", by_quantus=_focus_by_quantus
)
def Focus(relevance: np.ndarray, of_class: np.ndarray) -> np.ndarray:
    """Share of a mosaic's positive relevance for a class that lies on the two images (of four) that show the class."""
    return _share(relevance, of_class)


@register_mosaic(
    reference="Zhang et al. 2018, doi 10.1007/s11263-017-1059-x, on mosaics as Arias-Duart et al. 2022, arXiv 2109.15035",
    reads="positive relevance",
)
def MosaicPointing(relevance: np.ndarray, of_class: np.ndarray) -> np.ndarray:
    """Whether a mosaic's most relevant pixel is on an image of the explained class; if several are tied, their share."""
    largest = relevance == relevance.max(axis=(1, 2), keepdims=True)
    return _share(largest.astype(np.float64), of_class)


@register_mosaic(
    reference="Arras et al. 2022, arXiv 2003.07258, on mosaics as Arias-Duart et al. 2022, arXiv 2109.15035",
    reads="magnitudes",
)
def MosaicMass(relevance: np.ndarray, of_class: np.ndarray) -> np.ndarray:
    """Share of a mosaic's relevance, of either sign, that lies on the images of the explained class."""
    return _share(relevance, of_class)


def _share(relevance: np.ndarray, of_class: np.ndarray) -> np.ndarray:
    """Return the share of relevance, float64 (n, 2h, 2w), that lies in the cells of the class, bool (n, 4)."""
    height, width = (size // 2 for size in relevance.shape[1:])
    inside = np.repeat(np.repeat(of_class.reshape(-1, 2, 2), height, axis=1), width, axis=2)
    return (relevance * inside).sum(axis=(1, 2)) / relevance.sum(axis=(1, 2))
