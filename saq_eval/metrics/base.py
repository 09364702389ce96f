"""The definition of a metric. The metrics themselves are in the other modules of this package.

A metric gives one score per image. These policies hold for all metrics:

- **Parameters** are the keyword-only parameters of the function that declares the metric. A text such as
  `FaithfulnessCorrelation:nr_runs=50,fill=blur` sets them. A parameter whose default is `None` gets a value that
  depends on the image's size; this value is recorded.
- **Degenerate maps** (constant, all zero, not finite) have no score. Their score is NaN, even if a library gives one.
- **Hiding.** Whole pixels are hidden, with all their channels, since a map has one value per pixel (`hiding`).
- **Ties.** Scores do not depend on where in the image tied pixels lie. If pixels are tied for the last places among the
  top k, they share these places equally, which is the mean over all their orders (`maps.top_membership`). Pixels
  without relevance never belong to the top k. If fewer than k pixels are relevant, the top is only these. A metric that
  depends on the order of pixels is the mean over two opposite orders of the tied pixels
  (`hiding.mean_of_both_orders`). So if image, network, map and mask are all turned by 180°, the score is the same,
  except for random draws.
- **Randomness.** Each image has its own generator, seeded by the seed, the metric and the image's index. So a score does
  not depend on other images, on batches or on the order of calls.
- **Curves.** Some metrics give a curve with one value per step. Their score is the area under the curve divided by its
  length, which is the mean height. So scores do not depend on the number of steps.
"""

from __future__ import annotations

import inspect
import math
import weakref
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from saq_eval.core.code import code_of
from saq_eval.core.errors import SaqEvalError, check_choice, first_line
from saq_eval.core.registry import Registry
from saq_eval.core.specs import Engine, fill_parameters, function_name, label, parse_spec, plain_function
from saq_eval.metrics.maps import is_degenerate
from saq_eval.metrics.passes import NO_PASSES, MetricPasses, stated_by

T = TypeVar("T")
Shape = tuple[int, int, int]
Category = Literal[
    "faithfulness", "localisation", "complexity", "robustness", "randomisation", "axiomatic", "similarity"
]
Need = Literal["masks", "explanations", "mosaics", "known layers", "segments"]


def compute_alone(key: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """Compute what no other task shares."""
    return compute()


@dataclass(frozen=True, eq=False)
class Task:
    """The input of a metric: one network's maps of some images by one method.

    Attributes:
        network: a network in eval mode, pixels (n, c, h, w) in [0, 1] -> logits (n, classes).
        images: float32 (n, c, h, w).
        labels: int64 (n,), the images' classes.
        targets: int64 (n,), the class that each map explains.
        masks: bool (n, 1, h, w), true on the evidence: the object, or the pixels that decide the label by construction.
        maps: float32 (n, h, w), the maps to score.
        baseline_maps: float32 (n, h, w), for a similarity: the maps to compare with, by default the baseline network's, of the
            same images and classes. Other metrics get `maps` here.
        indices: int64 (n,), the images' identities, which seed random metrics.
        seed: the seed of random metrics.
        batch_size: the number of images in a chunk.
        device: the network's device, "cpu" or "cuda".
        explain: computes further maps by the same method, for other images or another network:
            (network, images (m, c, h, w), targets (m,), indices (m,)) -> float32 (m, h, w).
        shared: returns what depends on network, images, targets and seed, and not on the maps: (key, compute) -> the
            array that `compute` returns, which may have been computed for another method. It must not be changed. The key
            names what is computed and all parameters of it.
        compiled: the network's logits without gradients, computed faster; `None` for the network itself. See `logits`.
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
    shared: Callable[[str, Callable[[], np.ndarray]], np.ndarray] = compute_alone
    compiled: Callable[[Tensor], Tensor] | None = None

    def logits(self, images: Tensor) -> Tensor:
        """Return the network's logits for at most `batch_size` images on its device, (m, c, h, w) -> (m, classes)."""
        with torch.no_grad():
            return (self.compiled or self.network)(images)


_PER_TASK: weakref.WeakKeyDictionary[Task, dict[Hashable, Any]] = weakref.WeakKeyDictionary()


def once_per_task(task: Task, key: Hashable, compute: Callable[[], T]) -> T:
    """Return what `compute` returns for a task; several metrics that ask with the same key share it.

    Args:
        key: names what is computed and all parameters of it.
    """
    known = _PER_TASK.setdefault(task, {})
    if key not in known:
        known[key] = compute()
    return known[key]


@dataclass(frozen=True)
class Metric:
    """A metric with one score per image.

    Attributes:
        name: the name on the command line.
        category: the property that it measures.
        higher_is_better: the direction. For similarity: whether a higher score means closer to the baseline's map.
        range: lowest and highest possible score; an end may be infinite.
        reference: the paper.
        score: (task, **parameters) -> float64 (n,), or (n, steps) for a curve; NaN where the score is undefined.
        declares: the function whose keyword-only parameters are the metric's parameters. The first line of its
            docstring says what the metric measures.
        resolve: (parameters, image shape (c, h, w)) -> all settings that reports print, including values that depend
            on the image's size.
        needs: what it needs besides maps and network.
        curve: whether `score` returns curves with equal steps.
        positions: (settings, number of points) -> (steps,), the positions of a curve's points: the share of the pixels
            that is removed at each point.
        random: whether it uses random draws.
        passes: (settings as `resolve` returns them, image shape (c, h, w)) -> the passes of the network that `score` takes
            for an image; by default none. `None` if they are not known.
        chance: (task, **parameters) -> float64 (n,), the score of unrelated maps; `None` if it is not known.
        check: raises `Unsupported` for a network that lacks what the metric needs, such as weights to randomise.
        by_quantus: what `score` returns, computed by Quantus: the reference that `score` is tested against; `None` if
            `score` calls Quantus itself, or if Quantus has no score per image that follows the policies above.
        code: identifies the version of the metric's code; see `saq_eval.core.code.code_of`.
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
    passes: Callable[[dict[str, Any], Shape], MetricPasses] | None = lambda settings, shape: NO_PASSES
    chance: Callable[..., np.ndarray] | None = None
    check: Callable[[nn.Module], None] = lambda network: None
    by_quantus: Callable[..., np.ndarray] | None = None
    code: str = ""

    def __post_init__(self) -> None:
        if not self.code:
            object.__setattr__(self, "code", code_of(self.declares, *CODE))

    @property
    def description(self) -> str:
        """The first line of the declaring function's docstring, which says what the metric measures."""
        return (inspect.getdoc(self.declares) or "").partition("\n")[0]

    @property
    def best(self) -> float:
        """The best possible score; for a similarity, the score of identical maps."""
        return self.range[1] if self.higher_is_better else self.range[0]


# The packages that all scores depend on, in addition to the metric's own module.
CODE = ("core", "data", "networks", "quantization", "attribution", "metrics")

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
    passes: Callable[[dict[str, Any], Shape], MetricPasses] | None = lambda settings, shape: NO_PASSES,
    chance: Callable[..., np.ndarray] | None = None,
    resolve: Callable[[dict[str, Any], Shape], dict[str, Any]] = lambda parameters, shape: parameters,
) -> Callable[[Callable[..., np.ndarray]], Callable[..., np.ndarray]]:
    """Register the decorated function, (task, **parameters) -> scores, as a metric; see `Metric` for the arguments.

    The function's keyword-only parameters are the metric's parameters. It may return any score for degenerate maps,
    because these scores are not used.

    Raises:
        SaqEvalError: an unknown category or need, or a name that is taken.
    """
    check_choice("category", category, Category)
    for need in needs:
        check_choice("need", need, Need)

    def register(score: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        metric = Metric(
            name=name,
            category=category,
            higher_is_better=higher_is_better,
            range=range,
            reference=reference,
            score=score,
            declares=score,
            resolve=resolve,
            needs=needs,
            curve=curve,
            random=random,
            passes=passes,
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
        engine: "native", or "quantus" for `Metric.by_quantus` where there is one.
    """

    metric: Metric
    parameters: dict[str, Any] = field(default_factory=dict)
    engine: Engine = "native"

    @property
    def label(self) -> str:
        """The metric's name with the parameters that differ from their defaults, such as `PixelFlipping:fill=blur`."""
        return label(self.metric.name, self.parameters, self.metric.declares)

    def settings(self, shape: Shape) -> dict[str, Any]:
        """Return all settings that a report prints, for images of shape (c, h, w)."""
        return self.metric.resolve(self.parameters, shape)

    def passes(self, shape: Shape) -> MetricPasses | None:
        """Return the passes of the network for an image of shape (c, h, w) by the native engine; `None` if not known."""
        return None if self.metric.passes is None else self.metric.passes(self.settings(shape), shape)

    def score(self, task: Task) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the images' scores, float64 (n,), and their curves, float64 (n, steps), if the metric has any.

        Raises:
            Unsupported: the network lacks what the metric needs; see also `saq_eval.metrics.refusal`.
            SaqEvalError: a function of the user fails or returns no such array.
        """
        self.metric.check(task.network)
        scored = self._scored(task) if self.metric.name in METRICS else self._checked(task)
        scored[is_degenerate(task.maps)] = np.nan
        return (area(scored), scored) if self.metric.curve else (scored, None)

    def _scored(self, task: Task) -> np.ndarray:
        by_quantus = self.metric.by_quantus if self.engine == "quantus" else None
        return np.array((by_quantus or self.metric.score)(task, **self.parameters), dtype=np.float64)

    def _checked(self, task: Task) -> np.ndarray:
        """Return what a function of the user scores, after its shape has been checked."""
        try:
            scored = self._scored(task)
        except (SaqEvalError, MemoryError):
            raise
        except Exception as error:
            raise SaqEvalError(f"{self.label} fails: {first_line(error)}") from error
        if len(scored.shape) != 1 + self.metric.curve or len(scored) != len(task.maps):
            wanted = "(n, steps)" if self.metric.curve else "(n,)"
            raise SaqEvalError(f"{self.label} returned scores {scored.shape} for {len(task.maps)} maps, not {wanted}")
        return scored

    def chance(self, task: Task) -> np.ndarray | None:
        """Return the scores of unrelated maps, float64 (n,); `None` if they are not known."""
        return None if self.metric.chance is None else self.metric.chance(task, **self.parameters)


def find_scorer(spec: str | Callable[..., np.ndarray], engine: Engine = "native") -> Scorer:
    """Return a metric with parameters from a text such as `FaithfulnessCorrelation:subset_size=64`, or from a function.

    A function is a metric without registration. It is called as `Metric.score` is; a `functools.partial` of one sets its
    parameters. Its name is the label. Its attributes `category`, `range`, `higher_is_better`, `reference`, `needs`,
    `curve`, `random` and `chance` mean what those of `Metric` mean, and `passes` is the number of passes forward for each map.
    Without them it is "axiomatic", which no composite score reads, higher is better, its range is not bounded, and its
    passes are not known.

    Args:
        engine: what computes the scores; see `Scorer`.

    Raises:
        SaqEvalError: an unknown metric or parameter, or a value that the parameter does not take; a function without a
            valid name, whose name is that of a registered metric, or whose passes are no number.
    """
    if not isinstance(spec, str) and callable(spec):
        metric = _metric_of(spec)
        return Scorer(metric, fill_parameters(metric.name, metric.declares, getattr(spec, "keywords", {})), engine)
    name, given = parse_spec(spec) if isinstance(spec, str) else (spec, {})
    metric = METRICS[name]
    return Scorer(metric, fill_parameters(name, metric.declares, given), engine)


def _metric_of(function: Callable[..., np.ndarray]) -> Metric:
    name, function = function_name("metric", function, METRICS), plain_function("metric", function)
    category: Any = getattr(function, "category", "axiomatic")
    needs: Any = getattr(function, "needs", ())
    check_choice("category", category, Category)
    for need in needs:
        check_choice("need", need, Need)
    return Metric(
        name=name,
        category=category,
        higher_is_better=getattr(function, "higher_is_better", True),
        range=getattr(function, "range", (-math.inf, math.inf)),
        reference=getattr(function, "reference", "a function of the user"),
        score=function,
        declares=function,
        needs=tuple(needs),
        curve=getattr(function, "curve", False),
        random=getattr(function, "random", False),
        passes=stated_by(function, name),
        chance=getattr(function, "chance", None),
    )


def area(curves: np.ndarray) -> np.ndarray:
    """Return the mean heights of curves with equal steps, which are area over length: float64 (n, steps) -> (n,)."""
    return np.trapezoid(curves, axis=1) / (curves.shape[1] - 1)
