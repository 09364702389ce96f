"""What a metric is; the metrics are in the modules beside this one.

A metric gives one score per image. These policies hold for all:

- **Parameters** are the keyword-only parameters of the function that declares the metric; a text such as
  `FaithfulnessCorrelation:nr_runs=50,fill=blur` sets them. A parameter whose default is none is chosen by the
  image's size; what was chosen is on record.
- **Degenerate maps** (constant, all zero, not finite) have no score: NaN, whatever a library would make of them.
- **Hiding.** Whole pixels are hidden, with all their channels, since a map has one value per pixel (`hiding`).
- **Ties.** No score depends on where in the image tied pixels lie. Pixels that are tied for the last places of a top of k
  belong to it by equal shares, which is the mean over all their orders (`maps.top_membership`). Pixels without
  relevance never belong to it: where fewer than k are relevant, the top is these. What follows the order of pixels is
  the mean over two opposite orders of the tied ones (`hiding.mean_of_both_orders`). So an image, network, map and mask
  that are all turned by 180° score the same, but for what is drawn.
- **Randomness.** Each image draws from a generator of its own, seeded by the seed, the metric and the image's own
  index, so that a score depends on no other image, no batch and no order of calls.
- **Curves.** A metric that follows a curve, one value per step, scores by the area under it over its length, which
  is the mean height, so that scores do not depend on the number of steps.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from torch import nn

from saq_eval.core.registry import Registry
from saq_eval.core.specs import fill_parameters, label, parse_spec
from saq_eval.metrics.maps import is_degenerate

Shape = tuple[int, int, int]
Category = Literal[
    "faithfulness", "localisation", "complexity", "robustness", "randomisation", "axiomatic", "similarity"
]
Need = Literal["masks", "explanations", "mosaics", "known layers", "segments"]


@dataclass(frozen=True)
class Task:
    """What a metric scores: one network's maps of some images by one method.

    Attributes:
        network: in eval mode; pixels (n, c, h, w) in [0, 1] -> logits (n, classes).
        images: float32 (n, c, h, w).
        labels: int64 (n,), the images' classes.
        targets: int64 (n,), the class that each map explains.
        masks: bool (n, 1, h, w), true on the evidence: the object, or what decides the label by construction.
        maps: float32 (n, h, w).
        baseline_maps: float32 (n, h, w), the baseline network's maps of the same images and classes.
        indices: int64 (n,), the images' identities, from which random metrics draw.
        seed: of random metrics.
        batch_size: images in a chunk.
        device: "cpu" or "cuda", where the network is.
        explain: explains other images, or with another network, by the same method:
            (network, images (m, c, h, w), targets (m,), indices (m,)) -> float32 (m, h, w).
    """

    network: nn.Module
    images: np.ndarray
    labels: np.ndarray
    targets: np.ndarray
    masks: np.ndarray
    maps: np.ndarray
    baseline_maps: np.ndarray
    indices: np.ndarray
    seed: int
    batch_size: int
    device: str
    explain: Callable[[nn.Module, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Metric:
    """A metric with one score per image.

    Attributes:
        name: as on the command line.
        category: what it measures.
        higher_is_better: the direction. For similarity: whether a higher score means closer to the baseline's map.
        range: lowest and highest possible score; an end may be infinite.
        reference: the paper.
        score: (task, **parameters) -> float64 (n,), or (n, steps) of a curve; NaN where the score is undefined.
        declares: the function whose keyword-only parameters are the metric's, and the first line of whose
            docstring says what it measures.
        resolve: (parameters, image shape (c, h, w)) -> all that reports print of it, what the size chose included.
        needs: what it needs beside maps and network.
        curve: whether `score` returns curves, over equal steps.
        positions: of a curve's points, as shares of what is removed in all: (settings, number of points) -> (steps,).
        random: whether it draws.
        chance: (task, **parameters) -> float64 (n,), what unrelated maps would score; none where that is not known.
    """

    name: str
    category: Category
    higher_is_better: bool
    range: tuple[float, float]
    reference: str
    score: Callable[..., np.ndarray]
    declares: Callable[..., Any]
    resolve: Callable[[dict[str, Any], Shape], dict[str, Any]] = lambda parameters, shape: parameters
    needs: tuple[Need, ...] = ()
    curve: bool = False
    positions: Callable[[dict[str, Any], int], np.ndarray] = lambda settings, count: np.arange(1, count + 1) / count
    random: bool = False
    chance: Callable[..., np.ndarray] | None = None

    @property
    def description(self) -> str:
        """What it measures: the first line of the declaring function's docstring."""
        return (inspect.getdoc(self.declares) or "").partition("\n")[0]

    @property
    def best(self) -> float:
        """The best possible score; of a similarity, that of identical maps."""
        return self.range[1] if self.higher_is_better else self.range[0]


METRICS: Registry[Metric] = Registry("metric", any_case=True)


def register_metric(
    name: str,
    *,
    category: Category,
    range: tuple[float, float],
    reference: str,
    higher_is_better: bool = True,
    needs: tuple[Need, ...] = (),
    curve: bool = False,
    random: bool = False,
    chance: Callable[..., np.ndarray] | None = None,
) -> Callable[[Callable[..., np.ndarray]], Callable[..., np.ndarray]]:
    """Register the decorated function, (task, **parameters) -> scores, as a metric; see `Metric` for the arguments.

    Its keyword-only parameters are the metric's. Degenerate maps may have any score: it is not used.
    """

    def register(score: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        metric = Metric(
            name=name,
            category=category,
            higher_is_better=higher_is_better,
            range=range,
            reference=reference,
            score=score,
            declares=score,
            needs=needs,
            curve=curve,
            random=random,
            chance=chance,
        )
        METRICS.add(name, metric)
        return score

    return register


@dataclass(frozen=True)
class Scorer:
    """A metric with its parameters.

    Attributes:
        metric: the metric.
        parameters: all of its parameters.
    """

    metric: Metric
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The metric's name with the parameters that are not the usual ones, as in `PixelFlipping:fill=blur`."""
        return label(self.metric.name, self.parameters, self.metric.declares)

    def settings(self, shape: Shape) -> dict[str, Any]:
        """Return all that a report prints of it, for images of a shape (c, h, w)."""
        return self.metric.resolve(self.parameters, shape)

    def score(self, task: Task) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the images' scores, float64 (n,), and their curves, float64 (n, steps), if the metric has any."""
        scored = np.array(self.metric.score(task, **self.parameters), dtype=np.float64)
        scored[is_degenerate(task.maps)] = np.nan
        return (area(scored), scored) if self.metric.curve else (scored, None)

    def chance(self, task: Task) -> np.ndarray | None:
        """Return what unrelated maps score, float64 (n,); none where that is not known."""
        return None if self.metric.chance is None else self.metric.chance(task, **self.parameters)


def find_scorer(spec: str) -> Scorer:
    """Return a metric with parameters from a text such as `FaithfulnessCorrelation:nr_runs=100,subset_size=64`.

    Raises:
        SaqEvalError: an unknown metric or parameter, or a value that the parameter does not take.
    """
    name, given = parse_spec(spec)
    metric = METRICS[name]
    return Scorer(metric, fill_parameters(name, metric.declares, given))


def area(curves: np.ndarray) -> np.ndarray:
    """Return the areas under curves of equal steps over their length, float64 (n, steps) -> (n,): the mean height."""
    return np.trapezoid(curves, axis=1) / (curves.shape[1] - 1)
